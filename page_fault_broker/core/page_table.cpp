#include "page_fault_broker/core/page_table.hpp"

namespace vsmp::coherence {
namespace {

constexpr std::uint8_t kIsShared = 1;
constexpr std::uint8_t kHomeMoving = 2;  // the whole entry is in moving_home_

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

PageTable::HomeEntry& PageTable::entry(PageNumber page) const {
    VSMP_CHECK(is_home(page), "the directory of another node");
    return entries_[page.value() - first_home_];
}

LocalPage PageTable::local(PageNumber page) const {
    const std::uint32_t bits = word(page);
    if (bits & kMoving) return moving_local_.at(bits >> kSlotShift);
    return {.permission = permission_in(bits, page), .source = (bits & kSource) != 0};
}

void PageTable::set_local(PageNumber page, const LocalPage& state) {
    const LocalPage at_rest{.permission = state.permission, .source = state.source};
    std::uint32_t& word_of_page = word(page);
    std::uint32_t bits = word_of_page & ~(kPermissionMask | kSource);
    bits |= static_cast<std::uint32_t>(state.permission) ^ initial_permission(page);
    if (state.source) bits |= kSource;
    const bool moves = state != at_rest;
    if (moves && (bits & kMoving)) {
        moving_local_.at(bits >> kSlotShift) = state;
    } else if (moves) {
        const std::uint32_t slot = moving_local_.add(state);
        VSMP_CHECK(slot <= kMaxNote, "too many pages move at once");
        bits = (bits & kAtRest) | kMoving | slot << kSlotShift;
    } else if (bits & kMoving) {
        moving_local_.remove(bits >> kSlotShift);
        bits &= kAtRest & ~kMoving;
    }
    word_of_page = bits;
}

void PageTable::set_note(PageNumber page, std::uint32_t note) {
    VSMP_CHECK(note <= kMaxNote, "a note of too many bits");
    std::uint32_t& bits = word(page);
    if (!(bits & kMoving)) bits = (bits & kAtRest) | note << kSlotShift;
}

HomePage PageTable::home(PageNumber page) const {
    const HomeEntry& e = entry(page);
    if (e.flags & kHomeMoving) return moving_home_.at(e.sharers[0]);
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
        if (was_moving) {
            moving_home_.at(e.sharers[0]) = state;
        } else {
            e.flags |= kHomeMoving;
            e.sharers[0] = moving_home_.add(state);
        }
        return;
    }
    if (was_moving) moving_home_.remove(e.sharers[0]);
    const HomePage initial = initial_home_page(self_);
    const std::uint64_t sharers = state.sharers ^ initial.sharers;
    e.sharers = {static_cast<std::uint32_t>(sharers), static_cast<std::uint32_t>(sharers >> 32)};
    e.owner = static_cast<std::uint8_t>(state.owner ^ initial.owner);
    e.requester = static_cast<std::uint8_t>(state.requester ^ initial.requester);
    e.flags = state.exclusive ? 0 : kIsShared;
}

}  // namespace vsmp::coherence
