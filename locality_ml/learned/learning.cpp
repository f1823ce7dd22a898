// Of the learned policy: where the time goes, and what came of what it did.
#include "locality_ml/learned/learned.hpp"

#include <cmath>
#include <utility>

namespace vsmp::locality {
namespace {

constexpr float kCreditEveryUs = 20'000;
constexpr float kInitialCredit = 4;
constexpr float kPhaseJump = 0.4F;
constexpr float kHalf = 0.5F;   // as much waiting; more is chance
constexpr float kBurstGap = 4;  // fetches; who runs for longer between two faults does well
constexpr float kFoughtMemoryUs = 2'000'000;
// A vCPU sent away that meets only pages new to the node gets so many times longer.
constexpr int kInvestment = 4;

}  // namespace

void Learned::start_memory(VcpuMemory& memory) {
    memory = {};
    memory.ship_credit = kInitialCredit;
}

// --- Time

void Learned::wait(VcpuRecord& v, NodeId node, float us) {
    v.recent.waited(node, us);
    v.ticks.waited(node, us);
    v.slow.waited(node, us);
    v.lately.waited(node, us);
    v.burst.waited(node, us);
    v.stalled_us += us;
    v.elapsed_us += us;
    v.memory.lost_us = std::min(v.memory.lost_us + us, kMostLostUs);
}

void Learned::run(VcpuRecord& v, float us) {
    v.recent.ran(us);
    v.ticks.ran(us);
    v.slow.ran(us);
    v.lately.ran(us);
    v.burst.ran(us);
    v.elapsed_us += us;
}

void Learned::account(VcpuRecord& v, Instant now) {
    if (v.counted_until == Instant{}) v.counted_until = now;
    const float us = to_us(now - v.counted_until);
    if (us <= 0) return;
    const Instant from = std::exchange(v.counted_until, now);
    if (v.awaits) {
        wait(v, *v.awaits, us);
    } else {
        const float waking = std::clamp(to_us(v.wakes - from), 0.0F, us);
        if (waking > 0) wait(v, v.came_from, waking);
        run(v, (us - waking) * v.busy);  // an idle vCPU neither runs nor waits
    }
    VcpuMemory& m = v.memory;
    m.fought /= 1 + us / kFoughtMemoryUs;
    if (v.is_fighting() && v.slow.elapsed() > kSlowUs / 8)
        m.fought = std::max(m.fought, v.slow.stall() / v.slow.elapsed());
    m.ship_credit = std::min(m.ship_credit + us / kCreditEveryUs, kMaxCredit);
}

void Learned::note_fault(VcpuRecord& v, const RemoteFault& fault) {
    if (v.page_came) costs_.faulted_again(to_us(fault.now - *v.page_came));
    v.page_came.reset();
    if (to_us(fault.now - v.runs_since) > kBurstGap * costs_.fetch(fault.location)) {
        v.burst.reset();
        v.burst_faults = 0;
    }
    ++v.burst_faults;
    v.recent.faulted(fault.access);
    std::uint32_t& seen = v.seen[fault.page.value() % v.seen.size()];
    // To write to a page that it could only read before is not to have lost it.
    const auto to_read = static_cast<std::uint32_t>(2 * fault.page.value() + 2);
    const bool writes = fault.access == Access::write;
    v.again = seen == to_read + 1 || (seen == to_read && !writes) ? 1.0F : 0.0F;
    seen = to_read + (writes ? 1 : 0);
    v.refaults += (v.again - v.refaults) / 8;
    const PageNumber before = std::exchange(v.previous, fault.page);
    v.goes_on =
        fault.page.value() == before.value() + 1 || fault.page.value() + 1 == before.value();
    ++v.last.faults;
}

// What was learned in another phase gives way faster.
void Learned::notice_phase(VcpuRecord& v) {
    if (v.slow.elapsed() < kSlowUs / 2 || v.recent.elapsed() < kRecentUs / 2) return;
    const float now = v.recent.stall() / v.recent.elapsed();
    const float before = v.slow.stall() / v.slow.elapsed();
    if (std::abs(now - before) < kPhaseJump) return;
    ++v.memory.phases;
    v.memory.stay.doubt();
    v.memory.go.doubt();
    v.memory.situations.forget();
    v.slow.reset();
}

// --- Learning

void Learned::judge(VcpuRecord& v, Instant now) {
    const auto& pending = v.memory.pending;
    if (pending.key.tag != 0 && v.arrived) {
        const Duration wait =
            pending.reason == ShipReason::spread
                ? v.stays_until - *v.arrived
                : Duration{static_cast<std::int64_t>(costs_.horizon_us(setup_.self) * 1e3F)};
        if (now - *v.arrived >= wait)
            judge_ship(v, now);
        else if (!v.settling && now - *v.arrived >= wait / 2)
            v.settling = Settling{v.stalled_us, v.elapsed_us};
    }
    if (v.came_by.tag != 0 && v.arrived) {  // longer than thought before
        v.memory.situations.make(v.came_by).at_least(to_us(now - *v.arrived));
        v.memory.situations.node(setup_.self).at_least(to_us(now - *v.arrived));
    }
    if (!v.pending_stay) return;
    const PendingStay& stay = *v.pending_stay;
    if (!stay.page_came) return;
    if (to_us(now - stay.begun) < kMinHorizonUs) return;
    const float elapsed = v.elapsed_us - stay.elapsed_us;
    if (elapsed <= 0) return;
    const float stalled = v.stalled_us - stay.stalled_us;
    const float share = clamp01(stalled / elapsed);
    v.memory.stay.learn(stay.x, share - stay.guess);
    v.memory.situations.make(stay.key).add_stayed(share);
    v.pending_stay.reset();
}

// The ship that brought it here, now that it is known what came of it.
void Learned::judge_ship(VcpuRecord& v, Instant now) {
    PendingShip& pending = v.memory.pending;
    const float here_us = to_us(now - *v.arrived), horizon = costs_.horizon_us(setup_.self);
    const bool whole = here_us >= horizon;
    // The better half: at first what it runs on has to come, and at last it may need others again.
    const Settling first = v.settling.value_or(Settling{v.stalled_us, v.elapsed_us});
    const auto share = [](float stalled_us, float elapsed_us) {
        return clamp01(stalled_us / std::max(elapsed_us, 1.0F));
    };
    float stall = share(first.stalled_us, first.elapsed_us);
    if (v.settling)
        stall = std::min(stall,
                         share(v.stalled_us - first.stalled_us, v.elapsed_us - first.elapsed_us));
    const bool better = stall < kHalf * pending.stall_before;
    const float won_us = pending.stall_before * here_us - v.stalled_us;
    // If it leaves before its time that says less of how it is here; how long it stayed counts.
    const float worth = whole ? 1 : here_us / horizon;
    v.memory.situations.make(pending.key).add_stall(stall, worth);
    v.memory.situations.node(setup_.self).add_stall(stall, worth);
    if (whole) v.memory.go.learn(pending.x, stall - pending.guess);
    const float repaid = won_us > costs_.ship(setup_.self) ? 1.0F : 0.0F;
    v.memory.ship_credit = std::min(v.memory.ship_credit + repaid, kMaxCredit);
    Outcome& there = v.memory.situations.node(setup_.self);
    if (better) {
        there.failures = 0;
        v.on_trial = false;
    } else if (pending.aim == Aim::trial) {  // where it was good before, it is a bad moment
        if (whole) v.goes_back_to = v.came_from_node;
        there.failures = std::min(there.failures + 1, static_cast<float>(kMaxFailures));
    }
    if (pending.reason == ShipReason::spread && whole && stall < 0.5F) v.memory.failed_spreads = 0;
    pending = {};
}

// It goes on: what the ship was worth that brought it here.
void Learned::close_stay(VcpuRecord& v, ShipReason reason, Instant now) {
    if (!v.arrived) return;
    const bool was_spread = v.memory.pending.reason == ShipReason::spread;
    if (v.memory.pending.key.tag != 0) judge_ship(v, now);
    if (v.came_by.tag != 0) {
        v.memory.situations.make(v.came_by).add_stay(to_us(now - *v.arrived));
        v.memory.situations.node(setup_.self).add_stay(to_us(now - *v.arrived));
    }
    if (was_spread && reason != ShipReason::spread && v.memory.failed_spreads < kMaxSpreadDoublings)
        ++v.memory.failed_spreads;
}

void Learned::expect_stay(VcpuRecord& v, const Weighed& w, Instant now) {
    if (v.pending_stay) return;
    v.pending_stay = PendingStay{.begun = now,
                                 .guess = w.guess_stay,
                                 .stalled_us = v.stalled_us,
                                 .elapsed_us = v.elapsed_us,
                                 .page_came = false,
                                 .key = w.key,
                                 .x = w.x};
}

// --- What it is told

void Learned::on(const Fetched& fetched) {
    VcpuRecord& v = record(fetched.vcpu);
    account(v, fetched.now);
    v.awaits.reset();
    costs_.fetched(fetched.from, to_us(fetched.cost));
    v.page_came = v.runs_since = fetched.now;
    v.came_from = fetched.from;
    v.wakes =
        fetched.now + Duration{static_cast<std::int64_t>(costs_.wake_us(fetched.from) * 1e3F)};
    if (!v.pending_stay || v.pending_stay->page_came) return;
    // What follows is what counts: the fetch that was chosen is paid for.
    v.pending_stay->page_came = true;
    v.pending_stay->begun = fetched.now;
    v.pending_stay->stalled_us = v.stalled_us;
    v.pending_stay->elapsed_us = v.elapsed_us;
}

void Learned::on(const Prefetched& prefetched) {
    record(prefetched.vcpu).prefetcher.on_fate(prefetched.page, prefetched.fate, prefetched.now);
}

void Learned::on(const Departed& departed) {
    VcpuRecord& v = record(departed.vcpu);
    if (v.leaving) costs_.left(to_us(departed.now - *v.leaving));
    v.leaving.reset();
    v.awaits.reset();
    v.pending_stay.reset();
    v.arrived.reset();
    v.came_by = {};
}

void Learned::on(const Arrived& arrived) {
    VcpuRecord& v = record(arrived.vcpu);
    costs_.shipped(arrived.from, to_us(arrived.blackout));
    if (!decode(arrived.luggage, v.memory)) start_memory(v.memory);
    v.arrived = v.counted_until = v.runs_since = arrived.now;
    v.came_from_node = arrived.from;
    v.on_trial = v.memory.pending.key.tag != 0 && v.memory.pending.aim == Aim::trial;
    v.goes_back_to.reset();
    v.settling.reset();
    v.awaits.reset();
    v.leaving.reset();
    v.pending_stay.reset();
    v.recent.reset();
    v.ticks.reset();
    v.slow.reset();
    v.lately.reset();
    v.burst.reset();
    v.burst_faults = 0;
    v.page_came.reset();
    v.wakes = {};
    v.stalled_us = v.elapsed_us = 0;
    v.refaults = 0;
    v.seen.fill(0);
    v.prefetcher.reset();
    v.came_by = v.memory.pending.key;
    v.stays_until = v.invests_until = arrived.now;
    if (v.came_by.tag == 0 || v.memory.pending.reason != ShipReason::spread)
        return note_gathering(arrived.now);
    spread_at_ = arrived.now;
    const Duration stay = moving_in(arrived.from) *
                          (1 << std::min<int>(v.memory.failed_spreads, kMaxSpreadDoublings));
    spread_proof_ = proof_of_spread(arrived.from);
    v.stays_until += stay;
    v.invests_until += kInvestment * stay;
}

void Learned::on(const ShipFailed& failed) {
    VcpuRecord& v = record(failed.vcpu);
    account(v, failed.now);
    v.leaving.reset();
    v.goes_back_to.reset();
    v.memory.pending = {};
}

}  // namespace vsmp::locality
