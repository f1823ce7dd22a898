// The policies that need no memory of faults.
#include <array>
#include <optional>
#include <vector>

#include "locality_ml/policies.hpp"
#include "locality_ml/reachable.hpp"

namespace vsmp::locality {
namespace {

struct Last {
    Explanation explanation;
    std::optional<Instant> arrived;
};

class AlwaysFetch final : public Policy {
  public:
    Decision decide(const RemoteFault&) override { return Fetch{}; }
    bool places() const override { return false; }
    Explanation explain(VcpuId) const override {
        Explanation explanation;
        explanation.policy = "always-fetch";
        explanation.why = "it always fetches";
        return explanation;
    }
};

class AlwaysShip final : public Policy {
  public:
    explicit AlwaysShip(AlwaysShipOptions options) : options_(options), last_(kMaxVcpus) {}

    Decision decide(const RemoteFault& fault) override {
        Last& last = last_[fault.vcpu.value()];
        Explanation& explanation = last.explanation;
        explanation.when = fault.now;
        explanation.page = fault.page;
        explanation.location = fault.location;
        explanation.shipped_to.reset();
        ++explanation.faults;
        explanation.why = "it always ships";
        if (fault.mobility == Mobility::stuck)
            explanation.why = "the vCPU cannot leave";
        else if (!reachable_.has(fault.location))
            explanation.why = "the node is out of reach";
        else if (last.arrived && fault.now - *last.arrived < options_.rest)
            explanation.why = "it has just arrived";
        else {
            explanation.shipped_to = fault.location;
            ++explanation.ships;
            return Ship{fault.location};
        }
        return Fetch{};
    }

    void observe(const Observation& observation) override {
        if (const auto* arrived = std::get_if<Arrived>(&observation))
            last_[arrived->vcpu.value()].arrived = arrived->now;
    }
    void on_loads(std::span<const NodeLoad> loads, Instant) override { reachable_.update(loads); }
    bool places() const override { return false; }

    Explanation explain(VcpuId vcpu) const override {
        Explanation explanation = last_[vcpu.value()].explanation;
        explanation.policy = "always-ship";
        return explanation;
    }

  private:
    AlwaysShipOptions options_;
    Reachable reachable_;
    std::vector<Last> last_;  // by vCPU; allocated once
};

}  // namespace

std::unique_ptr<Policy> make_always_fetch() {
    return std::make_unique<AlwaysFetch>();
}

std::unique_ptr<Policy> make_always_ship(AlwaysShipOptions options) {
    return std::make_unique<AlwaysShip>(options);
}

}  // namespace vsmp::locality
