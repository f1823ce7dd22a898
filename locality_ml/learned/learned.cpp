// The learned policy. What it weighs, per remote fault: to stay and fetch, or to go to the node of
// the page, or to where most of the vCPU's recent waiting was for. For each it guesses what share
// of its time the vCPU will wait there, from what it saw of earlier ships in such situations, and
// what it would gain (weighing.hpp).
//
// Four things bound the harm of a wrong guess:
//   evidence   the vCPU has first to lose as much to the node as a ship would cost (the ski-rental
//              rule: at most twice the optimum), less where such ships were good before
//   credit     one ship per kCreditEvery, with a burst; a ship that won what it cost is free
//   fights     of two nodes that want the same pages, the higher moves, the lower waits
//   trials     a ship against the estimate, to learn, needs kTrialShips times as much lost as it
//              costs, and four times as much again after each that did not help; if it is no better
//              there, the vCPU goes back to the pages that it has here already
#include <cmath>
#include <utility>

#include "locality_ml/learned/vcpu_record.hpp"
#include "locality_ml/learned/weighing.hpp"
#include "locality_ml/policies.hpp"

namespace vsmp::locality {
namespace {

constexpr float kCreditEveryUs = 20'000;
constexpr float kMaxCredit = 8, kInitialCredit = 4;
constexpr float kTrialShips = 32;
constexpr int kMaxFailures = 5;
constexpr float kLeastFaults = 2;  // that a ship to the unknown needs
constexpr float kFightPatience = 4;
constexpr float kPhaseJump = 0.4F;
constexpr float kBurstGap = 4;  // fetches; who runs for longer between two faults does well
constexpr float kMostLostUs = 100e6F;
constexpr float kWaitedMemoryUs = 2'000'000;
constexpr float kOverload = 0.5F;  // runnable vCPUs above the CPUs
constexpr int kOverloadTicks = 5;
constexpr Duration kSpreadRest = std::chrono::milliseconds(20);
constexpr Duration kSpreadProof = std::chrono::milliseconds(100);
constexpr int kMaxSpreadDoublings = 6;
// A vCPU sent away that meets only pages new to the node gets so many times longer.
constexpr int kInvestment = 4;
constexpr float kColdRefaults = 0.25F;
constexpr float kCrowded = 0.75F;
constexpr float kColdPatienceUs = 100'000;

class Learned final : public Policy {
  public:
    explicit Learned(const PolicySetup& setup) : setup_(setup), weighing_(setup_, costs_, loads_) {
        VSMP_CHECK(setup.node_count <= kMaxNodes && setup.vcpu_count <= kMaxVcpus, "too many");
        vcpus_.reserve(setup.vcpu_count);
        for (std::size_t i = 0; i < setup.vcpu_count; ++i) {
            vcpus_.emplace_back(setup.node_count);
            start_memory(vcpus_.back().memory);
        }
        // Unknown loads: each node alone on a host with CPUs for all.
        for (std::size_t i = 0; i < kMaxNodes; ++i)
            loads_[i] = {.host = static_cast<std::uint8_t>(i),
                         .cpus = static_cast<float>(kMaxVcpus),
                         .runnable = 0,
                         .reach = Reach::reachable};
    }

    Decision decide(const RemoteFault& fault) override;
    void observe(const Observation& observation) override {
        std::visit([this](const auto& what) { on(what); }, observation);
    }
    void on_loads(std::span<const NodeLoad> loads, Instant) override;
    Placement place(const Activity& activity) override;
    void pack(VcpuId vcpu, ByteWriter& to) const override;
    Explanation explain(VcpuId vcpu) const override;

  private:
    void on(const Fetched& fetched);
    void on(const Prefetched& prefetched);
    void on(const Lost&) {}
    void on(const Departed& departed);
    void on(const Arrived& arrived);
    void on(const ShipFailed& failed);

    static void start_memory(VcpuMemory& memory);
    static void wait(VcpuRecord& v, NodeId node, float us);
    static void run(VcpuRecord& v, float us);
    void account(VcpuRecord& v, Instant now);
    void note_fault(VcpuRecord& v, const RemoteFault& fault);
    void notice_phase(VcpuRecord& v);
    void judge(VcpuRecord& v, Instant now);
    void judge_ship(VcpuRecord& v, Instant now);
    std::string_view obstacle(const VcpuRecord& v, const RemoteFault& fault,
                              const Weighed& w) const;
    bool tries(VcpuRecord& v, const Weighed& w) const;
    float trial_price(const VcpuRecord& v, NodeId to) const;
    NodeId most_awaited(const VcpuRecord& v, NodeId otherwise) const;
    bool is_reachable(NodeId node) const {
        return loads_[node.value()].reach == Reach::reachable;
    }
    Ship go_back(VcpuRecord& v, const RemoteFault& fault, const Weighed& w);
    Ship ship(VcpuRecord& v, const Weighed& w, ShipReason reason, Aim aim, Instant now);
    void note_gathering(Instant now);
    void close_stay(VcpuRecord& v, ShipReason reason, Instant now);
    void expect_stay(VcpuRecord& v, const Weighed& w, Instant now);
    void tell(VcpuRecord& v, const RemoteFault& fault, const Weighed& w, std::string_view why);

    VcpuRecord& record(VcpuId vcpu) {
        VSMP_CHECK(vcpu.value() < vcpus_.size(), "no such vCPU");
        return vcpus_[vcpu.value()];
    }
    const VcpuRecord& record(VcpuId vcpu) const { return const_cast<Learned*>(this)->record(vcpu); }

    PolicySetup setup_;
    FabricCosts costs_;
    Companions companions_;
    std::vector<VcpuRecord> vcpus_;
    NodeLoads loads_{};
    Weighing weighing_;
    int overloaded_ticks_ = 0;
    Instant may_spread_{};
    std::optional<Instant> spread_at_;  // from here or to here, the last one; none: it has failed
    int spreads_failed_ = 0;
};

void Learned::start_memory(VcpuMemory& memory) {
    memory = {};
    memory.ship_credit = kInitialCredit;
}

// --- Time

void Learned::wait(VcpuRecord& v, NodeId node, float us) {
    v.recent.waited(node, us);
    v.slow.waited(node, us);
    v.burst.waited(node, us);
    v.stalled_us += us;
    v.elapsed_us += us;
    v.memory.lost_us = std::min(v.memory.lost_us + us, kMostLostUs);
}

void Learned::run(VcpuRecord& v, float us) {
    v.recent.ran(us);
    v.slow.ran(us);
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
    m.waited = std::max(m.waited / (1 + us / kWaitedMemoryUs),
                        v.slow.elapsed() > kSlowUs / 8 ? v.slow.stall() / v.slow.elapsed() : 0);
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
    const auto mark = static_cast<std::uint32_t>(fault.page.value() + 1);
    v.again = seen == mark ? 1.0F : 0.0F;
    seen = mark;
    v.refaults += (v.again - v.refaults) / 8;
    const PageNumber before = std::exchange(v.previous, fault.page);
    v.goes_on = fault.page.value() == before.value() + 1 || fault.page.value() + 1 == before.value();
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
    if (v.came_by.tag != 0 && v.arrived)  // longer than thought before
        v.memory.situations.make(v.came_by).at_least(to_us(now - *v.arrived));
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
        stall = std::min(stall, share(v.stalled_us - first.stalled_us,
                                      v.elapsed_us - first.elapsed_us));
    const bool better = stall < kMuchLess * pending.stall_before;
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
    } else if (pending.aim == Aim::trial) {  // where it was good before, it is a bad moment
        if (whole) v.goes_back_to = v.came_from_node;
        there.failures = std::min(there.failures + 1, static_cast<float>(kMaxFailures));
    }
    if (pending.reason == ShipReason::spread && whole && stall < 0.5F) v.memory.failed_spreads = 0;
    pending = {};
}

// --- Deciding

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
    if (w.share_there < 0.9F * w.share_here) return false;  // known to be worse
    if (v.memory.lost_us < trial_price(v, w.to)) return false;
    ++v.memory.explored;
    return true;
}

float Learned::trial_price(const VcpuRecord& v, NodeId to) const {
    const int failures = static_cast<int>(v.memory.situations.node(to).failures);
    return kTrialShips * static_cast<float>(1 << 2 * std::clamp(failures, 0, kMaxFailures)) *
           costs_.ship(to);
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
        const bool crowds = w.share_there < kCrowded * w.share_here;
        if (crowds && v.refaults < kColdRefaults && v.memory.lost_us < kColdPatienceUs)
            evidence = kMostLostUs;
        if (lost < evidence || (w.known < 1 && v.burst_faults < kLeastFaults)) {
            why = "it has not lost enough yet to the node to say";
        } else if (w.gain_us > 0) {
            const ShipReason reason = fights                   ? ShipReason::gather
                                      : w.to == fault.location ? ShipReason::owner
                                                               : ShipReason::predicted_set;
            tell(v, fault, w, "it will wait less there");
            return ship(v, w, reason, w.known < 1 ? Aim::trial : Aim::gain, fault.now);
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

// A vCPU goes where its pages are soon after another was sent away from them, or came back.
void Learned::note_gathering(Instant now) {
    if (!spread_at_ || now - *spread_at_ > kSpreadProof) return;
    spread_at_.reset();
    spreads_failed_ = std::min(spreads_failed_ + 1, kMaxSpreadDoublings);
    may_spread_ = now + kSpreadProof * (1 << spreads_failed_);
}

Ship Learned::ship(VcpuRecord& v, const Weighed& w, ShipReason reason, Aim aim, Instant now) {
    close_stay(v, reason, now);
    if (reason != ShipReason::spread) note_gathering(now);
    VcpuMemory& m = v.memory;
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

// It goes on: what the ship was worth that brought it here.
void Learned::close_stay(VcpuRecord& v, ShipReason reason, Instant now) {
    if (!v.arrived) return;
    const bool was_spread = v.memory.pending.reason == ShipReason::spread;
    if (v.memory.pending.key.tag != 0) judge_ship(v, now);
    if (v.came_by.tag != 0) v.memory.situations.make(v.came_by).add_stay(to_us(now - *v.arrived));
    if (was_spread && reason != ShipReason::spread && v.memory.failed_spreads < kMaxSpreadDoublings)
        ++v.memory.failed_spreads;
}

void Learned::pack(VcpuId vcpu, ByteWriter& to) const {
    const VcpuRecord& v = record(vcpu);
    if (v.leaving) return encode(v.memory, to);
    VcpuMemory memory = v.memory;  // somebody else's ship: not to be judged as one of its own
    memory.pending = {};
    encode(memory, to);
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

// --- What it is told

void Learned::on(const Fetched& fetched) {
    VcpuRecord& v = record(fetched.vcpu);
    account(v, fetched.now);
    v.awaits.reset();
    costs_.fetched(fetched.from, to_us(fetched.cost));
    v.page_came = v.runs_since = fetched.now;
    v.came_from = fetched.from;
    v.wakes = fetched.now + Duration{static_cast<std::int64_t>(costs_.wake_us(fetched.from) * 1e3F)};
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
    v.goes_back_to.reset();
    v.settling.reset();
    v.awaits.reset();
    v.leaving.reset();
    v.pending_stay.reset();
    v.recent.reset();
    v.slow.reset();
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
    const Duration stay =
        kSpreadStay * (1 << std::min<int>(v.memory.failed_spreads, kMaxSpreadDoublings));
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

// --- Placement

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

}  // namespace

std::unique_ptr<Policy> make_learned(const PolicySetup& setup) {
    return std::make_unique<Learned>(setup);
}

}  // namespace vsmp::locality
