// What a fetch from and a ship to each node costs on this fabric: running medians, microseconds.
#pragma once

#include <algorithm>
#include <array>

#include "locality_ml/policy.hpp"

namespace vsmp::locality {

// A ship is judged after so many ships' cost, within bounds.
inline constexpr float kHorizonShips = 16;
inline constexpr float kMinHorizonUs = 1'000, kMaxHorizonUs = 100'000;
// A vCPU that moves to an idle node needs about so many pages there before it runs undisturbed: its
// page tables and stacks, the code, the kernel's records of it. It is not sent for less time.
inline constexpr float kRunsOnPages = 256;
inline constexpr float kLeastMovingInUs = 20'000;

inline float to_us(Duration d) {
    return static_cast<float>(d.count()) * 1e-3F;
}

class FabricCosts {
  public:
    // With what the vCPU needs to run again.
    float fetch(NodeId from) const { return nodes_[from.value()].fetch.value + wake_us(from); }
    // From a page's coming to its vCPU's running: nobody tells, but a vCPU that needs page after
    // page cannot fault sooner.
    float wake_us(NodeId from) const {
        return std::min(wake_.value, nodes_[from.value()].fetch.value);
    }
    // All that a vCPU loses by going there: to be stopped, sent, and loaded.
    float ship(NodeId to) const { return nodes_[to.value()].ship.value + leave_.value; }

    float horizon_us(NodeId to) const {
        return std::clamp(kHorizonShips * ship(to), kMinHorizonUs, kMaxHorizonUs);
    }

    // Until what it runs on has come after it from that node.
    float moving_in_us(NodeId from) const {
        return std::max(kLeastMovingInUs, kRunsOnPages * fetch(from));
    }

    void fetched(NodeId from, float us) { nodes_[from.value()].fetch.add(us); }
    // From a page's coming to the vCPU's next remote fault.
    void faulted_again(float us) { wake_.add(us); }
    // From the decision to the vCPU's stop.
    void left(float us) { leave_.add(us); }
    // From the stop there to the run here. The way back is taken to cost the same.
    void shipped(NodeId peer, float blackout_us) { nodes_[peer.value()].ship.add(blackout_us); }

  private:
    // The median, or another quartile, of the last few samples: a host that takes the CPU away for
    // a time slice now and then makes single costs ten times as high, and a mean of them says
    // nothing about the next.
    class Estimate {
      public:
        explicit Estimate(float prior, std::size_t quartile = 2)
            : value(prior), quartile_(quartile) {
            samples_[0] = prior;
        }
        void add(float us) {
            samples_[next_] = us;
            next_ = (next_ + 1) % kWindow;
            size_ = std::max(size_, next_ == 0 ? kWindow : next_);
            std::array<float, kWindow> sorted = samples_;
            const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(size_);
            const auto at =
                sorted.begin() + static_cast<std::ptrdiff_t>((size_ - 1) * quartile_ / 4);
            std::nth_element(sorted.begin(), at, end);
            value = *at;
        }
        float value;

      private:
        static constexpr std::size_t kWindow = 15;
        std::array<float, kWindow> samples_{};
        std::size_t quartile_;
        std::size_t size_ = 1, next_ = 1;  // the prior is the first
    };
    struct Node {
        Estimate fetch{100};
        Estimate ship{200};
    };
    std::array<Node, kMaxNodes> nodes_{};
    Estimate leave_{20};
    Estimate wake_{40, 1};
};

}  // namespace vsmp::locality
