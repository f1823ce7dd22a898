#include "state_store.hpp"

namespace vsmp::coherence::model {

std::size_t StateStore::slot_of(const Packed& state) {
    const std::size_t mask = table_.size() - 1;
    std::size_t slot = hash(state) & mask;
    while (table_[slot] != kEmpty && (*this)[table_[slot]].state != state) slot = (slot + 1) & mask;
    return slot;
}

StateStore::Inserted StateStore::insert(const Packed& state, Index parent) {
    if (size_ >= table_.size() / 4 * 3) grow();
    Index& found = table_[slot_of(state)];
    if (found != kEmpty) return {found, false};
    VSMP_CHECK(size_ < kEmpty, "too many states");
    found = size_;
    if (size_ % kChunk == 0) chunks_.push_back(std::make_unique<Entry[]>(kChunk));
    (*this)[size_] = {.state = state, .parent = parent};
    return {size_++, true};
}

void StateStore::grow() {
    table_.assign(table_.size() * 2, kEmpty);
    for (Index i = 0; i < size_; ++i) table_[slot_of((*this)[i].state)] = i;
}

}  // namespace vsmp::coherence::model
