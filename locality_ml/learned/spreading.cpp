// Of the learned policy: who goes to a node with nothing to do, and whether that holds.
#include "locality_ml/learned/learned.hpp"

#include <algorithm>

namespace vsmp::locality {
namespace {

constexpr float kOverload = 0.5F;  // runnable vCPUs above the CPUs
constexpr Duration kLeastOverload = std::chrono::milliseconds(50);
constexpr Duration kSpreadProof = std::chrono::milliseconds(100);
constexpr Duration kLately = std::chrono::milliseconds(50);  // some calls of place()

}  // namespace

void Learned::on_loads(std::span<const NodeLoad> loads, Instant now) {
    VSMP_CHECK(loads.size() <= kMaxNodes, "loads of more nodes than there can be");
    std::copy(loads.begin(), loads.end(), loads_.begin());
    const NodeLoad& here = loads_[setup_.self.value()];
    if (here.runnable <= here.cpus + kOverload)
        overloaded_since_.reset();
    else if (!overloaded_since_)
        overloaded_since_ = now;
}

// At boot vCPUs are busy in turns: the host is not overloaded for long, and all stay together. What
// is over before the pages have come that a vCPU needs elsewhere is no reason to send it there.
bool Learned::is_overloaded(NodeId to, Instant now) const {
    return overloaded_since_ && now - *overloaded_since_ >= std::max(kLeastOverload, moving_in(to));
}

// Who stays for so long has settled.
Duration Learned::proof_of_spread(NodeId to) const {
    return std::max(kSpreadProof, moving_in(to));
}

bool Learned::may_be_sent_away(const VcpuRecord& v, Instant now) const {
    return v.busy >= 0.5F && now >= v.stays_until && !v.leaving && v.memory.ship_credit >= 1;
}

bool Learned::is_at_work_here(const VcpuRecord& v, Instant now) const {
    return v.looked_at != Instant{} && now - v.looked_at <= kLately && v.busy >= 0.5F && !v.leaving;
}

// What it would wait for pages of who stays: as much as it waited in fights itself; and it takes
// two to fight: of those at work here one is who another fought with before it came, nobody knows
// which.
float Learned::contested(const VcpuRecord& v, Instant now) const {
    float most = 0, at_work = 0;
    for (const VcpuRecord& other : vcpus_) {
        if (&other == &v || !is_at_work_here(other, now)) continue;
        most = std::max(most, other.memory.fought);
        ++at_work;
    }
    return std::max(v.memory.fought, at_work > 0 ? most / at_work : 0);
}

// Who came back before will come back again. And an operating system leaves to its first CPU what
// it does for all, such as keeping time.
bool Learned::another_suits_better(const VcpuRecord& v, Instant now) const {
    const auto suits_better = [&](const VcpuRecord& other) {
        if (&other == &v || now - other.looked_at > kLately || !may_be_sent_away(other, now) ||
            !weighing_.spread(other, contested(other, now), now))
            return false;
        if (other.memory.failed_spreads != v.memory.failed_spreads)
            return other.memory.failed_spreads < v.memory.failed_spreads;
        return &other > &v;
    };
    return std::ranges::any_of(vcpus_, suits_better);
}

Placement Learned::place(const Activity& activity) {
    VcpuRecord& v = record(activity.vcpu);
    account(v, activity.now);
    v.busy = std::clamp(activity.busy, 0.02F, 1.0F);
    v.looked_at = activity.now;
    judge(v, activity.now);
    if (!overloaded_since_ || activity.now < may_spread_ || !may_be_sent_away(v, activity.now) ||
        another_suits_better(v, activity.now))
        return Stay{};
    const auto w = weighing_.spread(v, contested(v, activity.now), activity.now, activity.code);
    if (!w || !is_overloaded(w->to, activity.now)) return Stay{};
    if (spread_at_ && spreads_failed_ > 0) --spreads_failed_;  // the last one has held
    spread_at_ = activity.now;
    spread_proof_ = proof_of_spread(w->to);
    overloaded_since_.reset();  // perhaps it is over
    const RemoteFault none{.vcpu = activity.vcpu,
                           .page = {},
                           .location = w->to,
                           .code = activity.code,
                           .now = activity.now};
    tell(v, none, *w, "its node has more to do than CPUs");
    return ship(v, *w, ShipReason::spread, Aim::gain, activity.now);
}

// A vCPU goes where its pages are soon after another was sent away from them, or came back.
void Learned::note_gathering(Instant now) {
    if (!spread_at_ || now - *spread_at_ > spread_proof_) return;
    spread_at_.reset();
    spreads_failed_ = std::min(spreads_failed_ + 1, kMaxSpreadDoublings);
    may_spread_ = now + spread_proof_ * (1 << spreads_failed_);
}

}  // namespace vsmp::locality
