// How a vCPU's recent time divides into running and waiting for pages of each node. Exponentially
// forgetting: what is `window` old counts about a third.
#pragma once

#include <cstddef>
#include <vector>

#include "locality_ml/learned/fabric_costs.hpp"

namespace vsmp::locality {

class StallMeter {
  public:
    StallMeter(std::size_t node_count, float window_us)
        : window_us_(window_us), stall_(node_count) {}

    void reset() {
        run_ = total_ = writes_ = faults_ = 0;
        std::fill(stall_.begin(), stall_.end(), 0.0F);
    }
    void ran(float us) {
        fade(us);
        run_ += us;
    }
    void waited(NodeId node, float us) {
        fade(us);
        stall_[node.value()] += us;
        total_ += us;
    }
    void faulted(Access access) {
        ++faults_;
        if (access == Access::write) ++writes_;
    }

    // Microseconds in the window.
    float run() const { return run_; }
    float stall(NodeId node) const { return stall_[node.value()]; }
    float stall() const { return total_; }
    float elapsed() const { return run_ + total_; }
    float write_share() const { return faults_ > 0 ? writes_ / faults_ : 0; }

  private:
    // 1/(1+x) instead of exp(-x): cheap, and for the short steps that there are nearly the same.
    void fade(float us) {
        const float keep = 1 / (1 + us / window_us_);
        run_ *= keep;
        total_ *= keep;
        writes_ *= keep;
        faults_ *= keep;
        for (float& stall : stall_) stall *= keep;
    }

    float window_us_;
    float run_ = 0, total_ = 0, writes_ = 0, faults_ = 0;
    std::vector<float> stall_;  // by node
};

}  // namespace vsmp::locality
