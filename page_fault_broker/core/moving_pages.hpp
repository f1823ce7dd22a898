// States of the few pages that are being moved now, by a number that their table keeps for each: no
// search and, once it is warm, no allocation. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/check.hpp"

namespace vsmp::coherence {

template <class State>
class MovingPages {
  public:
    using Slot = std::uint32_t;

    Slot add(const State& state) {
        if (free_.empty()) {
            slots_.push_back(state);
            return static_cast<Slot>(slots_.size() - 1);
        }
        const Slot slot = free_.back();
        free_.pop_back();
        slots_[slot] = state;
        return slot;
    }
    State& at(Slot slot) {
        VSMP_CHECK(slot < slots_.size(), "no such moving page");
        return slots_[slot];
    }
    const State& at(Slot slot) const {
        VSMP_CHECK(slot < slots_.size(), "no such moving page");
        return slots_[slot];
    }
    void remove(Slot slot) { free_.push_back(slot); }
    std::size_t size() const { return slots_.size() - free_.size(); }

  private:
    std::vector<State> slots_;
    std::vector<Slot> free_;
};

}  // namespace vsmp::coherence
