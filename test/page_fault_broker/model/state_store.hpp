// All states seen so far, each once, numbered in the order of their discovery. Exact: no
// fingerprints, no chance of two states being taken for one.
#pragma once

#include <memory>
#include <vector>

#include "packed.hpp"

namespace vsmp::coherence::model {

class StateStore {
  public:
    using Index = std::uint32_t;
    enum class Visit : std::uint8_t { none, under_way, over };  // of the search for cycles
    struct Entry {
        Packed state;
        Index parent = 0;  // from which it was discovered
        Visit visit = Visit::none;
    };
    struct Inserted {
        Index index;
        bool is_new;
    };

    StateStore() : table_(std::size_t{1} << 16, kEmpty) {}

    Inserted insert(const Packed& state, Index parent);
    Entry& operator[](Index index) { return chunks_[index / kChunk][index % kChunk]; }
    Index size() const { return size_; }

  private:
    static constexpr Index kEmpty = ~Index{0};
    static constexpr std::size_t kChunk = std::size_t{1} << 16;  // growing copies nothing

    std::size_t slot_of(const Packed& state);
    void grow();

    std::vector<std::unique_ptr<Entry[]>> chunks_;
    std::vector<Index> table_;  // open addressing, a power of two
    Index size_ = 0;
};

}  // namespace vsmp::coherence::model
