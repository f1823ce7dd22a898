// What a fetch from and a ship to each node costs on this fabric: running estimates, microseconds.
#pragma once

#include <algorithm>
#include <array>

#include "locality_ml/policy.hpp"

namespace vsmp::locality {

// A ship is judged after so many ships' cost, within bounds.
inline constexpr float kHorizonShips = 16;
inline constexpr float kMinHorizonUs = 1'000, kMaxHorizonUs = 20'000;

inline float to_us(Duration d) {
    return static_cast<float>(d.count()) * 1e-3F;
}

class FabricCosts {
  public:
    float fetch(NodeId from) const { return nodes_[from.value()].fetch.value; }
    // All that a vCPU loses by going there: to be stopped, sent, and loaded.
    float ship(NodeId to) const { return nodes_[to.value()].ship.value + leave_.value; }

    float horizon_us(NodeId to) const {
        return std::clamp(kHorizonShips * ship(to), kMinHorizonUs, kMaxHorizonUs);
    }

    void fetched(NodeId from, float us) { nodes_[from.value()].fetch.add(us); }
    // From the decision to the vCPU's stop.
    void left(float us) { leave_.add(us); }
    // From the stop there to the run here. The way back is taken to cost the same.
    void shipped(NodeId peer, float blackout_us) { nodes_[peer.value()].ship.add(blackout_us); }

  private:
    // Mean that follows the last few dozen samples; one outlier (a host that took the CPU away for
    // a time slice) moves it no further than a sample of four times the mean.
    struct Estimate {
        float value = 0;
        float samples = 0;
        void add(float us) {
            if (samples > 4) us = std::min(us, 4 * value);
            samples = std::min(samples + 1, 32.0F);
            value += (us - value) / (samples + 1);  // the prior counts as one sample
        }
    };
    struct Node {
        Estimate fetch{.value = 100};
        Estimate ship{.value = 200};
    };
    std::array<Node, kMaxNodes> nodes_{};
    Estimate leave_{.value = 20};
};

}  // namespace vsmp::locality
