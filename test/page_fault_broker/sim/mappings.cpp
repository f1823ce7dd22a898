#include "mappings.hpp"

#include <bit>

namespace vsmp::coherence::sim {

void Mappings::set(std::size_t node, std::size_t page, Pte pte) {
    VSMP_CHECK(node < nodes_ && page < readers_.size(), "no such page");
    const std::uint64_t bit = std::uint64_t{1} << node;
    readers_[page] &= ~bit;
    writers_[page] &= ~bit;
    if (pte == Pte::read_only) readers_[page] |= bit;
    if (pte == Pte::writable) writers_[page] |= bit;
}

const char* Mappings::broken(std::size_t page) const {
    if (std::popcount(writers_[page]) > 1) return "two writers";
    if (writers_[page] != 0 && readers_[page] != 0) return "a reader beside a writer";
    return nullptr;
}

Result<void> SimMapper::map_read_only(PageNumber first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) all_.permit(node_, first.value() + i, Pte::read_only);
    return {};
}

Result<void> SimMapper::map_writable(PageNumber first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) all_.permit(node_, first.value() + i, Pte::writable);
    return {};
}

// A page-table entry that went meanwhile stays away; who waits is woken and faults anew.
Result<void> SimMapper::allow_write(PageNumber page) {
    const Pte now = all_.pte(node_, page.value());
    all_.permit(node_, page.value(), now == Pte::none ? Pte::none : Pte::writable);
    return {};
}

Result<void> SimMapper::forbid_write(PageNumber page) {
    if (all_.pte(node_, page.value()) == Pte::writable)
        all_.set(node_, page.value(), Pte::read_only);
    return {};
}

Result<void> SimMapper::unmap(PageNumber first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) all_.set(node_, first.value() + i, Pte::none);
    return {};
}

}  // namespace vsmp::coherence::sim
