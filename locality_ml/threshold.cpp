// Ships a vCPU to the node that answered so many of its recent faults. Recent means the current
// window: counts start anew when it is over, which costs nothing per fault and forgets quickly.
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "locality_ml/policies.hpp"
#include "locality_ml/reachable.hpp"

namespace vsmp::locality {
namespace {

struct History {
    std::array<std::uint32_t, kMaxNodes> faults{};  // by location, in this window
    Instant window_began;
    std::optional<Instant> moved;  // when it last came or left, if it did
    Explanation last;
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
        Explanation& last = history.last;
        last.when = fault.now;
        last.page = fault.page;
        last.location = fault.location;
        last.shipped_to.reset();
        ++last.faults;
        last.why = why_not(history, fault);
        if (!last.why.empty()) return Fetch{};
        last.why = "enough faults to the node in the window";
        last.shipped_to = fault.location;
        ++last.ships;
        return Ship{fault.location};
    }

    void observe(const Observation& observation) override {
        if (const auto* arrived = std::get_if<Arrived>(&observation))
            on_moved(arrived->vcpu, arrived->now);
        else if (const auto* departed = std::get_if<Departed>(&observation))
            on_moved(departed->vcpu, departed->now);
    }
    void on_loads(std::span<const NodeLoad> loads, Instant) override { reachable_.update(loads); }
    bool places() const override { return false; }

    Explanation explain(VcpuId vcpu) const override {
        Explanation explanation = histories_[vcpu.value()].last;
        explanation.policy = "threshold";
        return explanation;
    }

  private:
    // Empty: it may ship.
    std::string_view why_not(const History& history, const RemoteFault& fault) const {
        if (fault.mobility == Mobility::stuck) return "the vCPU cannot leave";
        if (!reachable_.has(fault.location)) return "the node is out of reach";
        if (history.faults[fault.location.value()] < options_.faults)
            return "too few faults to the node in the window";
        if (history.moved && fault.now - *history.moved < options_.rest)
            return "it moved a short time ago";
        return {};
    }
    void on_moved(VcpuId vcpu, Instant now) {
        History& history = history_of(vcpu);
        start_window(history, now);
        history.moved = now;
    }
    History& history_of(VcpuId vcpu) {
        VSMP_CHECK(vcpu.value() < histories_.size(), "no such vCPU");
        return histories_[vcpu.value()];
    }
    static void start_window(History& history, Instant now) {
        history.faults.fill(0);
        history.window_began = now;
    }

    ThresholdOptions options_;
    Reachable reachable_;
    std::vector<History> histories_;  // by vCPU; allocated once
};

}  // namespace

std::unique_ptr<Policy> make_threshold(ThresholdOptions options) {
    return std::make_unique<Threshold>(options);
}

}  // namespace vsmp::locality
