// Of the learned policy: what it decides at a fault.
#include "locality_ml/learned/learned.hpp"

#include "locality_ml/policies.hpp"

namespace vsmp::locality {
namespace {

constexpr float kTrialShips = 64;
// After so many ships that were in vain, times four for each.
constexpr float kRetrialShips = 4;
constexpr float kLeastFaults = 2;  // that a ship to the unknown needs
constexpr float kFightPatience = 4;
constexpr float kColdPatience = 0.4F;  // of kLongUs
constexpr float kMostFought = 0.7F;    // that keeps it from being sent away, for about a second

}  // namespace

// Empty: nothing is in the way of the ship.
std::string_view Learned::obstacle(const VcpuRecord& v, const RemoteFault& fault,
                                   const Weighed& w) const {
    if (fault.mobility == Mobility::stuck) return "the vCPU cannot leave";
    if (setup_.node_count < 2) return "there is no other node";
    if (!is_reachable(w.to)) return "the node is out of reach";
    if (fault.now < v.stays_until) return "it was sent here to stay for a while";
    if (fault.now < v.invests_until && v.refaults < kColdRefaults)
        return "what it needs is still on its way to where it was sent";
    if (v.memory.ship_credit < 1) return "it was shipped too often lately";
    if (v.memory.pending.key.tag != 0 && v.memory.pending.aim == Aim::trial)
        return "it was sent here to see how it is";
    return {};
}

NodeId Learned::most_awaited(const VcpuRecord& v, NodeId otherwise) const {
    NodeId most = otherwise;
    for (std::size_t i = 0; i < setup_.node_count; ++i) {
        const NodeId node{static_cast<std::uint8_t>(i)};
        if (node != setup_.self && v.recent.stall(node) > 2 * v.recent.stall(most)) most = node;
    }
    return most;
}

// To learn what comes of it, against the estimate.
bool Learned::tries(VcpuRecord& v, const Weighed& w) const {
    if (w.guess_stay < 0.2F) return false;
    if (v.is_fighting() && setup_.self < w.to) return false;  // the other comes, or just came
    if (w.share_there < 0.9F * w.share_here) return false;    // known to be worse
    if (v.memory.lost_us < trial_price(v, w.to)) return false;
    ++v.memory.explored;
    return true;
}

float Learned::trial_price(const VcpuRecord& v, NodeId to) const {
    const int failures =
        std::clamp(static_cast<int>(v.memory.situations.node(to).failures), 0, kMaxFailures);
    if (failures == 0) return kTrialShips * costs_.ship(to);
    return kRetrialShips * static_cast<float>(1 << 2 * failures) * costs_.ship(to);
}

Decision Learned::decide(const RemoteFault& fault) {
    VcpuRecord& v = record(fault.vcpu);
    VSMP_CHECK(fault.location.value() < setup_.node_count, "no such node");
    account(v, fault.now);
    v.awaits = fault.location;
    note_fault(v, fault);
    notice_phase(v);
    judge(v, fault.now);

    Fetch fetch;
    v.prefetcher.on_fault(fault.page, fault.location, setup_.page_count, fault.now, companions_,
                          fetch.prefetch);
    const Weighed w = weighing_.ship(v, fault, most_awaited(v, fault.location));
    if (v.goes_back_to == w.to && fault.mobility == Mobility::free && is_reachable(w.to))
        return go_back(v, fault, w);
    std::string_view why = obstacle(v, fault, w);
    if (why.empty()) {
        const float lost = v.recent.stall(w.to) + (w.to == fault.location ? costs_.fetch(w.to) : 0);
        const bool fights = v.is_fighting();
        float evidence = costs_.ship(w.to);
        if (fights && setup_.self < w.to)
            evidence *= kFightPatience;
        else if (w.known > 0 && w.gain_us > 0)
            evidence /= 1 + w.known;
        if (v.memory.situations.node(w.to).failures > 0 && v.memory.lost_us < trial_price(v, w.to))
            evidence = kMostLostUs;
        // Pages that are new to it come once. To share a CPU goes on.
        if (v.refaults < kColdRefaults && v.lately.stall() < w.crowding() * kColdPatience * kLongUs)
            evidence = kMostLostUs;
        if (lost < evidence || (w.known < 1 && v.burst_faults < kLeastFaults)) {
            why = "it has not lost enough yet to the node to say";
        } else if (w.gain_us > 0) {
            const ShipReason reason = fights                   ? ShipReason::gather
                                      : w.to == fault.location ? ShipReason::owner
                                                               : ShipReason::predicted_set;
            if (v.on_trial && w.to == v.came_from_node) return go_back(v, fault, w);
            tell(v, fault, w, "it will wait less there");
            const Outcome& there = v.memory.situations.node(w.to);
            const bool was_good =
                there.count > 0 && there.failures == 0 && there.stall < kMuchLess * w.guess_stay;
            const Aim aim = was_good ? Aim::gain : Aim::trial;
            return ship(v, w, reason, aim, fault.now);
        } else if (tries(v, w)) {
            tell(v, fault, w, "to learn what comes of it");
            return ship(v, w, ShipReason::owner, Aim::trial, fault.now);
        } else {
            why = "it would not gain what the ship costs";
        }
    }
    tell(v, fault, w, why);
    v.last.prefetched = static_cast<std::uint32_t>(fetch.prefetch.size());
    expect_stay(v, w, fault.now);
    return fetch;
}

// Its pages are there. Not judged, or it would go to and fro.
Ship Learned::go_back(VcpuRecord& v, const RemoteFault& fault, const Weighed& w) {
    tell(v, fault, w, "it is no better here than where it came from");
    const float credit = v.memory.ship_credit;
    const Ship back = ship(v, w, ShipReason::predicted_set, Aim::gain, fault.now);
    v.memory.ship_credit = credit;  // the way there has paid for both
    v.memory.pending = {};
    return back;
}

Ship Learned::ship(VcpuRecord& v, const Weighed& w, ShipReason reason, Aim aim, Instant now) {
    close_stay(v, reason, now);
    if (reason != ShipReason::spread) note_gathering(now);
    VcpuMemory& m = v.memory;
    // Who goes to share a CPU did wait that much here, and would again.
    if (w.crowding() > 0) m.fought = std::max(m.fought, std::min(w.stall_here, kMostFought));
    m.ship_credit = std::max(m.ship_credit - 1, 0.0F);
    m.lost_us = 0;
    ++m.ships;
    m.pending = {.key = w.key,
                 .reason = reason,
                 .aim = aim,
                 .stall_before = std::max(w.guess_stay, w.stall_here),
                 .guess = w.guess_go,
                 .x = w.x};
    v.leaving = now;
    v.last.shipped_to = w.to;
    return {w.to, reason};
}

void Learned::pack(VcpuId vcpu, ByteWriter& to) const {
    const VcpuRecord& v = record(vcpu);
    if (v.leaving) return encode(v.memory, to);
    VcpuMemory memory = v.memory;  // somebody else's ship: not to be judged as one of its own
    memory.pending = {};
    encode(memory, to);
}

void Learned::tell(VcpuRecord& v, const RemoteFault& fault, const Weighed& w,
                   std::string_view why) {
    Explanation& last = v.last;
    last.why = why;
    last.when = fault.now;
    last.page = fault.page;
    last.location = fault.location;
    last.shipped_to.reset();
    last.prefetched = 0;
    last.fetch_us = costs_.fetch(fault.location);
    last.ship_us = costs_.ship(w.to);
    last.stall_here = w.stall_here;
    last.stall_there = w.stall_there;
    last.share_here = w.share_here;
    last.share_there = w.share_there;
    last.useful_us = w.useful_us;
}

Explanation Learned::explain(VcpuId vcpu) const {
    const VcpuRecord& v = record(vcpu);
    Explanation explanation = v.last;
    explanation.policy = "learned";
    explanation.prefetch_accuracy = v.prefetcher.accuracy();
    explanation.coverage = v.prefetcher.coverage();
    explanation.ships = v.memory.ships;
    explanation.explored = v.memory.explored;
    explanation.phases = v.memory.phases;
    return explanation;
}

std::unique_ptr<Policy> make_learned(const PolicySetup& setup) {
    return std::make_unique<Learned>(setup);
}

}  // namespace vsmp::locality
