// Ships a vCPU to the node that answered so many of its recent faults. Recent means the current
// window: counts start anew when it is over, which costs nothing per fault and forgets quickly.
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "locality_ml/policy.hpp"
#include "proto/check.hpp"

namespace vsmp::locality {
namespace {

struct History {
    std::array<std::uint32_t, kMaxNodes> faults{};  // by location, in this window
    Instant window_began;
    std::optional<Instant> moved;  // when it last came or left, if it did
};

class Threshold final : public Policy {
  public:
    explicit Threshold(ThresholdOptions options) : options_(options), histories_(kMaxVcpus) {
        VSMP_CHECK(options.faults > 0, "a threshold of no faults");
    }

    Decision decide(const RemoteFault& fault) override {
        History& history = history_of(fault.vcpu);
        if (fault.now - history.window_began > options_.window) start_window(history, fault.now);
        const auto location = fault.location.value();
        VSMP_CHECK(location < kMaxNodes, "no such node");
        // Saturating at the threshold: it may stay there for long while the vCPU cannot leave.
        history.faults[location] = std::min(history.faults[location] + 1, options_.faults);
        if (!fault.may_ship || history.faults[location] < options_.faults) return Fetch{};
        if (history.moved && fault.now - *history.moved < options_.rest) return Fetch{};
        return Ship{fault.location};
    }

    void on_moved(VcpuId vcpu, Instant now) override {
        History& history = history_of(vcpu);
        start_window(history, now);
        history.moved = now;
    }

  private:
    History& history_of(VcpuId vcpu) {
        VSMP_CHECK(vcpu.value() < histories_.size(), "no such vCPU");
        return histories_[vcpu.value()];
    }
    static void start_window(History& history, Instant now) {
        history.faults.fill(0);
        history.window_began = now;
    }

    ThresholdOptions options_;
    std::vector<History> histories_;  // by vCPU; allocated once
};

}  // namespace

std::unique_ptr<Policy> make_threshold(ThresholdOptions options) {
    return std::make_unique<Threshold>(options);
}

}  // namespace vsmp::locality
