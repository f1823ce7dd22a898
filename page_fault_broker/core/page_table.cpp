#include "page_fault_broker/core/page_table.hpp"

namespace vsmp::coherence {
namespace {

// A page's word: 0 for a page nobody has asked for.
constexpr std::uint32_t kPermissionMask = 3;  // difference to initial_local_page()
constexpr std::uint32_t kSource = 1u << 2;
constexpr std::uint32_t kMoving = 1u << 3;  // the rest is in local_rest_

constexpr std::uint8_t kIsShared = 1;
constexpr std::uint8_t kHomeMoving = 2;  // the whole entry is in home_rest_

}  // namespace

template <class T>
PageTable::Lazy<T> PageTable::zeroed(std::uint64_t count) {
    // calloc, not a container: it hands out untouched zero pages of the kernel.
    Lazy<T> memory{static_cast<T*>(std::calloc(std::max<std::uint64_t>(count, 1), sizeof(T)))};
    VSMP_CHECK(memory != nullptr, "no address space for the page table");
    return memory;
}

PageTable::PageTable(NodeId self, HomeMap homes)
    : self_(self),
      homes_(std::move(homes)),
      first_home_(homes_.first_page_of(self).value()),
      home_pages_(homes_.page_count_of(self)),
      words_(zeroed<std::uint32_t>(homes_.page_count())),
      entries_(zeroed<HomeEntry>(home_pages_)) {}

std::uint32_t& PageTable::word(PageNumber page) const {
    VSMP_CHECK(page.value() < homes_.page_count(), "page beyond guest RAM");
    return words_[page.value()];
}

PageTable::HomeEntry& PageTable::entry(PageNumber page) const {
    VSMP_CHECK(is_home(page), "the directory of another node");
    return entries_[page.value() - first_home_];
}

Permission PageTable::permission(PageNumber page) const {
    const auto initial =
        static_cast<std::uint32_t>(is_home(page) ? Permission::exclusive : Permission::none);
    return static_cast<Permission>((word(page) & kPermissionMask) ^ initial);
}

LocalPage PageTable::local(PageNumber page) const {
    const std::uint32_t bits = word(page);
    if (bits & kMoving) return local_rest_.at(page);
    return {.permission = permission(page), .source = (bits & kSource) != 0};
}

void PageTable::set_local(PageNumber page, const LocalPage& state) {
    const LocalPage at_rest{.permission = state.permission, .source = state.source};
    const auto initial =
        static_cast<std::uint32_t>(is_home(page) ? Permission::exclusive : Permission::none);
    std::uint32_t& bits = word(page);
    const bool was_moving = (bits & kMoving) != 0;
    bits &= ~(kPermissionMask | kSource | kMoving);
    bits |= static_cast<std::uint32_t>(state.permission) ^ initial;
    if (state.source) bits |= kSource;
    if (state != at_rest) {
        bits |= kMoving;
        local_rest_[page] = state;
    } else if (was_moving) {
        local_rest_.erase(page);
    }
}

HomePage PageTable::home(PageNumber page) const {
    const HomeEntry& e = entry(page);
    if (e.flags & kHomeMoving) return home_rest_.at(page);
    HomePage state = initial_home_page(self_);
    state.sharers ^= e.sharers[0] | std::uint64_t{e.sharers[1]} << 32;
    state.owner = static_cast<std::uint8_t>(state.owner ^ e.owner);
    state.requester = static_cast<std::uint8_t>(state.requester ^ e.requester);
    state.exclusive = (e.flags & kIsShared) == 0;
    return state;
}

void PageTable::set_home(PageNumber page, const HomePage& state) {
    HomeEntry& e = entry(page);
    const bool was_moving = (e.flags & kHomeMoving) != 0;
    if (state.busy) {  // who waits, waits for somebody
        e.flags |= kHomeMoving;
        home_rest_[page] = state;
        return;
    }
    const HomePage initial = initial_home_page(self_);
    const std::uint64_t sharers = state.sharers ^ initial.sharers;
    e.sharers = {static_cast<std::uint32_t>(sharers), static_cast<std::uint32_t>(sharers >> 32)};
    e.owner = static_cast<std::uint8_t>(state.owner ^ initial.owner);
    e.requester = static_cast<std::uint8_t>(state.requester ^ initial.requester);
    e.flags = state.exclusive ? 0 : kIsShared;
    if (was_moving) home_rest_.erase(page);
}

void PageTable::set(PageNumber page, PageFlag flag, bool value) {
    std::uint32_t& bits = word(page);
    bits =
        value ? bits | static_cast<std::uint32_t>(flag) : bits & ~static_cast<std::uint32_t>(flag);
}

}  // namespace vsmp::coherence
