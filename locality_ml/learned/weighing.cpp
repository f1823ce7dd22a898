#include "locality_ml/learned/weighing.hpp"

#include <cmath>

namespace vsmp::locality {
namespace {

constexpr float kShipsPaid = 2;       // the way there, the way back, and some doubt
constexpr float kLeastPace = 0.2F;    // nothing is believed to be slower than that for long
constexpr float kFutureLosses = 4;    // times the past ones
constexpr float kLeastStayShips = 4;  // a stay that is worth it, in ships' costs

constexpr float kOnItsWay = 0.1F, kTrustOnItsWay = 0.8F;
constexpr float kPrior = 0.5F;  // samples that the guess is worth without any

struct Shares {
    float all = 0, for_node = 0;
};

}  // namespace

float Weighing::share_here() const {
    const NodeLoad& load = loads_[setup_.self.value()];
    return std::min(1.0F, load.cpus / std::max(load.runnable, 1.0F));
}

float Weighing::share_at(NodeId node) const {
    const NodeLoad& there = loads_[node.value()];
    if (there.host == loads_[setup_.self.value()].host) return share_here();
    return std::min(1.0F, there.cpus / std::max(there.runnable + 1, 1.0F));
}

// To share a CPU lasts, since place() takes its time: what it waits in a burst is no reason for it,
// unless it is known to fight, and then what it waited since the loads were told.
float Weighing::lasting_stall(const VcpuRecord& v, float fetch) {
    const auto share = [&](const StallMeter& meter, float window) {
        return (meter.stall() + fetch) / std::max(meter.elapsed() + fetch, window);
    };
    const float slow = share(v.slow, kSlowUs), tick = share(v.ticks, kTickUs);
    return slow + std::min(2 * v.memory.fought, 1.0F) * std::max(tick - slow, 0.0F);
}

Weighed Weighing::ship(const VcpuRecord& v, const RemoteFault& fault, NodeId to) const {
    Weighed w{.to = to, .key = situation_key(fault.code, fault.page, to), .x = {}};
    // The fault at hand is part of what it has lost already.
    const float fetch = costs_.fetch(fault.location);
    const float for_it = to == fault.location ? fetch : 0;
    const auto shares = [&](const StallMeter& meter) {
        const float elapsed = meter.elapsed() + fetch;
        return Shares{(meter.stall() + fetch) / elapsed, (meter.stall(to) + for_it) / elapsed};
    };
    // A burst of faults after a good time tells more than its average with the good time does, the
    // more the longer it goes on.
    const Shares recent = shares(v.recent), burst = shares(v.burst);
    float trust = burst.all > recent.all ? 1 - 2 / (v.burst_faults + 1) : 0;
    if (v.goes_on && burst.all > recent.all) trust = std::max(trust, kTrustOnItsWay);
    float all = recent.all + trust * (burst.all - recent.all);
    const float for_node = recent.for_node + trust * (burst.for_node - recent.for_node);
    w.share_here = share_here();
    // A load is a reason not to go. A reason to go it is for place() only, which takes its time.
    w.share_there = std::min(share_at(to), w.share_here);
    all -= w.crowding() * std::max(all - lasting_stall(v, fetch), 0.0F);
    // Never tried: what it runs on stays here and would have to be fetched there, and what it
    // waits for from third nodes it waits for there too.
    // On its way through memory, what lies behind it does not matter.
    float sum = v.goes_on ? kOnItsWay : clamp01((1 - all) + (all - for_node));
    sum *= kPrior;
    float weight = kPrior;
    const auto add = [&](const Outcome& outcome, float worth) {
        sum += worth * outcome.count * outcome.stall;
        weight += worth * outcome.count;
        if (outcome.useful_us == 0) return;
        w.useful_us = w.useful_us == 0 ? outcome.useful_us : (w.useful_us + outcome.useful_us) / 2;
    };
    add(v.memory.situations.node(to), 2);
    w.known = v.memory.situations.node(to).count / 2;
    if (const Outcome* outcome = v.memory.situations.find(w.key)) {
        add(*outcome, 4);
        w.known = std::max(w.known, outcome->count);
        w.stay_known = outcome->stays >= 2;
        const float stayed = 0.5F * outcome->stays;
        w.guess_stay = (all + stayed * outcome->stay_stall) / (1 + stayed);
    } else {
        w.guess_stay = all;
    }
    w.guess_go = sum / weight;
    const float ship = costs_.ship(to);
    if (w.useful_us == 0) w.useful_us = costs_.horizon_us(to);
    w.useful_us = std::min(w.useful_us, std::max(kMaxUsefulUs, costs_.horizon_us(to)));
    w.x = features(v, fault, w);
    w.stall_there = clamp01(w.guess_go + v.memory.go.predict(w.x));
    w.stall_here = clamp01(w.guess_stay + v.memory.stay.predict(w.x));
    // What it would do there in its useful time, it would do here too, in so much more.
    const float there = w.share_there * (1 - w.stall_there);
    const float here = std::max(w.share_here * (1 - w.stall_here), kLeastPace);
    // Who needs in turns what lies here and what lies there has it together sooner by fetching it:
    // a ship moves no page.
    const bool stays = w.useful_us >= kLeastStayShips * ship;
    const bool better =
        stays && there - here >= kLeastBetter && w.stall_there < kMuchLess * w.stall_here;
    float won = better ? w.useful_us * (there / here - 1) : 0;
    // What it lost lately is how much it can be expected to lose, unless it stayed before in such
    // a situation: then that is in the guess.
    if (!w.stay_known) won = std::min(won, kFutureLosses * (v.slow.stall(to) + fetch));
    w.gain_us = won - kShipsPaid * ship;
    return w;
}

Features Weighing::features(const VcpuRecord& v, const RemoteFault& fault, const Weighed& w) const {
    const float elapsed = std::max(v.recent.elapsed(), 1.0F);
    const Outcome& node = v.memory.situations.node(w.to);
    const float ship = costs_.ship(w.to);
    const float stay = v.arrived ? to_us(fault.now - *v.arrived) : kMaxUsefulUs;
    Features x;
    x << 1,                                                   //
        v.recent.stall(w.to) / elapsed,                       // waits for that node
        (v.recent.stall() - v.recent.stall(w.to)) / elapsed,  // and for others
        v.slow.elapsed() > 0 ? v.slow.stall() / v.slow.elapsed() : 0,
        v.again,                                         // had this very page
        v.refaults,                                      // pages it had and lost
        v.prefetcher.sequential(),                       //
        v.prefetcher.coverage(),                         //
        std::min(std::log2(1 + stay / ship) / 8, 1.0F),  // how long it has been here
        node.stall,                                      // how it went there before
        node.count / Outcome::kMemory,                   //
        w.guess_go,                                      //
        w.guess_stay,                                    //
        w.share_here, w.share_there,                     //
        std::min(costs_.fetch(fault.location) / ship, 2.0F);
    return x;
}

std::optional<Weighed> Weighing::spread(const VcpuRecord& v, float contested, Instant now,
                                        CodeAddress code) const {
    std::optional<Weighed> best;
    const float waits = v.slow.elapsed() > 0 ? v.slow.stall() / v.slow.elapsed() : 0;
    for (std::size_t i = 0; i < setup_.node_count; ++i) {
        const NodeId to{static_cast<std::uint8_t>(i)};
        if (to == setup_.self || loads_[i].reach == Reach::unreachable) continue;
        Weighed w{.to = to, .key = situation_key(code, PageNumber{0}, to), .x = {}};
        const Outcome* before = v.memory.situations.find(w.key);
        // Who has needed nothing for long does other work than when it was sent away before.
        if (to_us(now - v.runs_since) > kLongUs) before = nullptr;
        // What it waited while others had its pages it would wait again.
        w.guess_go = std::max(before && before->count > 0 ? before->stall : 0.2F, contested);
        w.guess_stay = waits;
        w.stall_here = waits;
        w.stall_there = w.guess_go;
        w.share_here = share_here();
        w.share_there = share_at(to);
        w.useful_us = costs_.moving_in_us(to);
        const float better =
            w.share_there * (1 - w.stall_there) - w.share_here * (1 - w.stall_here);
        if (better < kLeastBetter) continue;
        w.gain_us = w.useful_us * better - kShipsPaid * costs_.ship(to);
        w.x = Features::Zero();
        if (w.gain_us > 0 && (!best || w.gain_us > best->gain_us)) best = w;
    }
    return best;
}

}  // namespace vsmp::locality
