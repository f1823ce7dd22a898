// What a vCPU would gain by going to another node. With the shares of its time that it waits, and
// of a CPU that it gets (as the loads give them),
//
//     gain = useful time * (share there * (1 - stall there) - share here * (1 - stall here))
//            - cost of the ship and of one back
//
// What it would wait is a guess from earlier ships in such situations, corrected by a linear
// regression.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include "locality_ml/learned/vcpu_record.hpp"
#include "locality_ml/policy.hpp"

namespace vsmp::locality {

using NodeLoads = std::array<NodeLoad, kMaxNodes>;

inline constexpr float kLeastBetter = 0.1F;  // of the time; less is noise
inline constexpr float kMuchLess = 0.7F;  // times; a vCPU that hardly runs waits as much anywhere
inline constexpr float kCrowded = 0.75F;  // of the share of a CPU; more is hardly shared
inline constexpr float kHalved = 0.5F;    // the same; what is lost for good has to be paid for
inline constexpr float kMaxUsefulUs = 20'000;

inline float clamp01(float x) {
    return std::clamp(x, 0.0F, 1.0F);
}

// Shares are of time, 0 to 1.
struct Weighed {
    NodeId to;
    SituationKey key;
    float guess_go = 0, guess_stay = 0;  // before the regression
    float stall_there = 0, stall_here = 0;
    float share_there = 1, share_here = 1;
    float useful_us = 0;
    float known = 0;  // samples
    bool stay_known = false;
    float gain_us = 0;
    Features x;

    // From 0, there is a CPU for it as here, to 1, it would have to share one with another. Without
    // steps, since loads are as old as the last tick and seldom whole numbers.
    float crowding() const {
        return clamp01((kCrowded - share_there / share_here) / (kCrowded - kHalved));
    }
};

// Refers to what its owner knows, which outlives it.
class Weighing {
  public:
    Weighing(const PolicySetup& setup, const FabricCosts& costs, const NodeLoads& loads)
        : setup_(setup), costs_(costs), loads_(loads) {}

    // After that fault, before the page came.
    Weighed ship(const VcpuRecord& v, const RemoteFault& fault, NodeId to) const;
    // The node, if any, where a vCPU that has its data to itself would get more of a CPU.
    // `contested`: the share of its time that it would wait for pages of who stays.
    std::optional<Weighed> spread(const VcpuRecord& v, float contested, Instant now,
                                  CodeAddress code = {}) const;

  private:
    Features features(const VcpuRecord& v, const RemoteFault& fault, const Weighed& w) const;
    static float lasting_stall(const VcpuRecord& v, float fetch);
    float share_here() const;
    float share_at(NodeId node) const;

    const PolicySetup& setup_;
    const FabricCosts& costs_;
    const NodeLoads& loads_;
};

}  // namespace vsmp::locality
