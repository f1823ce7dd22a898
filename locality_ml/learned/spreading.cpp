// Of the learned policy: who goes to a node with nothing to do, and whether that holds.
#include "locality_ml/learned/learned.hpp"

#include <algorithm>

namespace vsmp::locality {
namespace {

constexpr float kOverload = 0.5F;  // runnable vCPUs above the CPUs
constexpr int kOverloadTicks = 5;
constexpr Duration kSpreadRest = std::chrono::milliseconds(20);

}  // namespace

void Learned::on_loads(std::span<const NodeLoad> loads, Instant) {
    VSMP_CHECK(loads.size() <= kMaxNodes, "loads of more nodes than there can be");
    std::copy(loads.begin(), loads.end(), loads_.begin());
    const NodeLoad& here = loads_[setup_.self.value()];
    overloaded_ticks_ = here.runnable > here.cpus + kOverload ? overloaded_ticks_ + 1 : 0;
}

Placement Learned::place(const Activity& activity) {
    VcpuRecord& v = record(activity.vcpu);
    account(v, activity.now);
    v.busy = std::clamp(activity.busy, 0.02F, 1.0F);
    judge(v, activity.now);
    // At boot vCPUs are busy in turns: the host is not overloaded for long, and all stay together.
    if (overloaded_ticks_ < kOverloadTicks || activity.busy < 0.5F || activity.now < may_spread_ ||
        activity.now < v.stays_until || v.leaving || v.memory.ship_credit < 1)
        return Stay{};
    const auto w = weighing_.spread(v, activity);
    if (!w) return Stay{};
    if (spread_at_ && spreads_failed_ > 0) --spreads_failed_;  // the last one has held
    spread_at_ = activity.now;
    spread_proof_ = kSpreadProof * moving_in(w->to);
    may_spread_ = activity.now + kSpreadRest;
    overloaded_ticks_ = kOverloadTicks - 2;  // loads are old news until the next ones
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
