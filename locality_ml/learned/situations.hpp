// What became of earlier ships, by situation: how much of its time the vCPU waited where it went,
// and how long it stayed there. Two levels: a situation is a code address bucket, a region of
// memory and a destination; what is not known of it is taken from its destination alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "locality_ml/policy.hpp"

namespace vsmp::locality {

// Outcomes seen, as decaying means. `count` is how many samples the means are worth.
struct Outcome {
    static constexpr float kMemory = 8;           // samples that a mean remembers
    static constexpr float kLongestUs = 100'000;  // longer stays are as good

    float count = 0;
    float stall = 0;      // share of the time there
    float useful_us = 0;  // the stay
    float stays = 0;      // the first two of decisions not to go
    float stay_stall = 0;
    float failures = 0;  // of the last ships there, that it waited no less: at once

    // `worth`: of a sample, up to 1.
    void add_stall(float share, float worth) {
        if (worth <= 0) return;
        count = std::min(count + worth, kMemory);
        stall += (share - stall) * worth / std::max(count, worth);
    }
    void add_stayed(float share) {
        stays = std::min(stays + 1, kMemory);
        stay_stall += (share - stay_stall) / stays;
    }
    // The mean: one short stay says little about the next.
    void add_stay(float us) {
        us = std::clamp(us, 1.0F, kLongestUs);
        useful_us = useful_us == 0 ? us : useful_us + (us - useful_us) / 4;
    }
    // A stay that is not over has lasted so long already.
    void at_least(float us) { useful_us = std::max(useful_us, std::min(us, kLongestUs)); }
    void forget() {
        count *= 0.25F;
        stays *= 0.25F;
        failures *= 0.5F;  // phases may be noticed where there are none
    }
};

struct SituationKey {
    std::uint16_t tag = 0;  // never 0 for a real one
    friend bool operator==(SituationKey, SituationKey) = default;
};

// Code in buckets of 256 bytes, memory in regions of 2 MiB.
inline SituationKey situation_key(CodeAddress code, PageNumber page, NodeId to) {
    std::uint64_t x = (code.value() >> 8) * 0x9e3779b97f4a7c15;
    x ^= ((page.value() >> 9) + 1) * 0xc2b2ae3d27d4eb4f;
    x ^= (to.value() + 1ULL) * 0x165667b19e3779f9;
    x ^= x >> 32;
    x ^= x >> 16;
    const auto tag = static_cast<std::uint16_t>(x);
    return {tag == 0 ? std::uint16_t{1} : tag};
}

class Situations {
  public:
    static constexpr std::size_t kSlots = 24;
    static constexpr std::size_t kNodes = 8;  // destinations remembered one by one

    struct Slot {
        SituationKey key;
        Outcome outcome;
    };

    // Null when nothing is known.
    const Outcome* find(SituationKey key) const {
        const Slot& slot = slots_[key.tag % kSlots];
        return slot.key == key ? &slot.outcome : nullptr;
    }
    Outcome& make(SituationKey key) {
        Slot& slot = slots_[key.tag % kSlots];
        if (slot.key != key) slot = {.key = key, .outcome = {}};
        return slot.outcome;
    }
    // Of a destination as such; nodes beyond kNodes share.
    const Outcome& node(NodeId to) const { return nodes_[to.value() % kNodes]; }
    Outcome& node(NodeId to) { return nodes_[to.value() % kNodes]; }

    void forget() {
        for (Slot& slot : slots_) slot.outcome.forget();
        for (Outcome& node : nodes_) node.forget();
    }
    std::array<Slot, kSlots>& slots() { return slots_; }
    const std::array<Slot, kSlots>& slots() const { return slots_; }
    std::array<Outcome, kNodes>& nodes() { return nodes_; }
    const std::array<Outcome, kNodes>& nodes() const { return nodes_; }

  private:
    std::array<Slot, kSlots> slots_{};
    std::array<Outcome, kNodes> nodes_{};
};

}  // namespace vsmp::locality
