#include "locality_ml/model.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace vsmp::locality {
namespace {

constexpr std::size_t kLookAhead = 256;      // needs within which a prefetched page is used
constexpr Duration::rep kPrefetchShare = 8;  // a page that comes behind another costs one eighth
constexpr int kMaxHops = 4;                  // ships for one need
constexpr Instant kModelStart{std::chrono::seconds(1)};

Duration scaled(Duration d, double factor) {
    return Duration{static_cast<Duration::rep>(static_cast<double>(d.count()) * factor)};
}
// How much longer a vCPU needs for what it ran where its pages were.
Duration slowdown(const RecordedRun& run, Duration ran) {
    return scaled(ran, run.costs.stall_away / (1 - run.costs.stall_away));
}

class Model {
  public:
    Model(const RecordedRun& run, const MakePolicy& make) : run_(run) {
        for (std::size_t n = 0; n < run.setup.node_count; ++n) {
            PolicySetup setup = run.setup;
            setup.self = NodeId{static_cast<std::uint8_t>(n)};
            policies_.push_back(make(setup));
        }
        for (const RecordedVcpu& vcpu : run.vcpus) states_.push_back({vcpu.start, {}, 0});
    }

    Modelled result() {
        // In the order in which the needs came, over all vCPUs.
        while (const auto next = next_vcpu()) meet(*next);
        for (std::size_t i = 0; i < states_.size(); ++i)
            result_.time = std::max(result_.time, states_[i].time + run_.vcpus[i].tail);
        return result_;
    }

  private:
    struct State {
        NodeId node;
        Duration time;
        std::size_t next;
    };
    struct Place {  // of a page that the model has moved
        NodeId owner;
        std::uint64_t readers = 0;  // bit per node
    };

    std::optional<std::size_t> next_vcpu() const {
        std::optional<std::size_t> best;
        const auto when = [&](std::size_t i) { return run_.vcpus[i].needs[states_[i].next].when; };
        for (std::size_t i = 0; i < states_.size(); ++i) {
            if (states_[i].next == run_.vcpus[i].needs.size()) continue;
            if (!best || when(i) < when(*best)) best = i;
        }
        return best;
    }

    static std::uint64_t bit(NodeId node) { return 1ULL << node.value(); }
    Policy& policy(NodeId node) { return *policies_[node.value()]; }
    Place& place(const Need& need) {
        return places_.try_emplace(need.page.value(), Place{need.location, bit(need.location)})
            .first->second;
    }

    void meet(std::size_t i) {
        State& state = states_[i];
        const Need& need = run_.vcpus[i].needs[state.next];
        state.time += need.ran;
        if (state.node != need.at)
            state.time += slowdown(run_, need.ran);
        else
            places_[need.page.value()] = {need.location, bit(need.location)};  // as recorded
        for (int hop = 0; !satisfied(place(need), state.node, need.access); ++hop) {
            const Place& at = place(need);
            const NodeId location = at.owner == state.node ? need.location : at.owner;
            if (location == state.node) break;  // an upgrade: not the policy's business
            const Decision decision = policy(state.node).decide(fault(i, need, location, hop));
            if (const auto* ship = std::get_if<Ship>(&decision)) {
                move(i, ship->to);
                continue;
            }
            fetch(i, need, location, std::get<Fetch>(decision).prefetch);
        }
        ++state.next;
    }

    static bool satisfied(const Place& place, NodeId node, Access access) {
        return access == Access::read ? (place.readers & bit(node)) != 0
                                      : place.owner == node && place.readers == bit(node);
    }

    RemoteFault fault(std::size_t i, const Need& need, NodeId location, int hop) const {
        return {.vcpu = VcpuId{static_cast<std::uint16_t>(i)},
                .page = need.page,
                .access = need.access,
                .location = location,
                .mobility = hop < kMaxHops ? Mobility::free : Mobility::stuck,
                .code = need.code,
                .now = kModelStart + states_[i].time};
    }

    void fetch(std::size_t i, const Need& need, NodeId location, const PageList& prefetch) {
        State& state = states_[i];
        const VcpuId id{static_cast<std::uint16_t>(i)};
        state.time += run_.costs.fetch;
        ++result_.fetches;
        take(place(need), state.node, need.access);
        const Instant now = kModelStart + state.time;
        policy(state.node).observe(Fetched{id, need.page, location, run_.costs.fetch, now});
        for (const PageNumber page : prefetch) {
            const Need* used = needed_soon(i, page);
            state.time += run_.costs.fetch / kPrefetchShare;
            if (used) take(place(*used), state.node, used->access);
            policy(state.node)
                .observe(
                    Prefetched{id, page, used ? PrefetchFate::used : PrefetchFate::wasted, now});
        }
    }

    const Need* needed_soon(std::size_t i, PageNumber page) const {
        const auto& needs = run_.vcpus[i].needs;
        const std::size_t end = std::min(needs.size(), states_[i].next + kLookAhead);
        for (std::size_t n = states_[i].next + 1; n < end; ++n)
            if (needs[n].page == page) return &needs[n];
        return nullptr;
    }

    static void take(Place& place, NodeId node, Access access) {
        if (access == Access::read)
            place.readers |= bit(node);
        else
            place = {node, bit(node)};
    }

    void move(std::size_t i, NodeId to) {
        State& state = states_[i];
        const VcpuId id{static_cast<std::uint16_t>(i)};
        ByteWriter luggage{luggage_};
        policy(state.node).pack(id, luggage);
        policy(state.node).observe(Departed{id, to, kModelStart + state.time});
        state.time += run_.costs.ship;
        policy(to).observe(
            Arrived{id, state.node, run_.costs.ship, luggage.written(), kModelStart + state.time});
        state.node = to;
        ++result_.ships;
    }

    const RecordedRun& run_;
    std::vector<std::unique_ptr<Policy>> policies_;
    std::vector<State> states_;
    std::unordered_map<std::uint64_t, Place> places_;
    std::array<std::byte, kMaxLuggage> luggage_;
    Modelled result_;
};

NodeId node(std::size_t n) {
    return NodeId{static_cast<std::uint8_t>(n)};
}

// What ran so long at one node, at node number `n`.
Duration ran_on(const RecordedRun& run, Duration ran, std::size_t loads, NodeId at, std::size_t n) {
    if (at.value() == n) return ran;
    return scaled(ran + slowdown(run, ran), run.crowding(loads, at, node(n)));
}

// Cheapest way through the needs of one vCPU, by node at the end of each.
Modelled best_way(const RecordedRun& run, const RecordedVcpu& vcpu) {
    struct Cost {
        Duration time = Duration::max();
        std::uint64_t fetches = 0, ships = 0;
    };
    const std::size_t nodes = run.setup.node_count;
    std::vector<Cost> cost(nodes);
    cost[vcpu.start.value()] = {Duration::zero(), 0, 0};
    for (const Need& need : vcpu.needs) {
        // The run before the need, then perhaps a ship, then the need.
        Cost cheapest;
        for (std::size_t n = 0; n < nodes; ++n) {
            if (cost[n].time == Duration::max()) continue;
            cost[n].time += ran_on(run, need.ran, need.loads, need.at, n);
            if (cost[n].time < cheapest.time) cheapest = cost[n];
        }
        for (std::size_t n = 0; n < nodes; ++n) {
            if (cheapest.time + run.costs.ship < cost[n].time)
                cost[n] = {cheapest.time + run.costs.ship, cheapest.fetches, cheapest.ships + 1};
            if (need.location.value() == n) continue;
            cost[n].time += run.costs.fetch;
            ++cost[n].fetches;
        }
    }
    for (std::size_t n = 0; n < nodes; ++n)
        if (cost[n].time != Duration::max())
            cost[n].time += scaled(vcpu.tail, run.crowding(vcpu.tail_loads, vcpu.end, node(n)));
    const auto best = std::min_element(
        cost.begin(), cost.end(), [](const Cost& a, const Cost& b) { return a.time < b.time; });
    return {best->time, best->fetches, best->ships};
}

}  // namespace

Modelled model(const RecordedRun& run, const MakePolicy& make) {
    return Model{run, make}.result();
}

Modelled as_recorded(const RecordedRun& run) {
    Modelled all;
    for (const RecordedVcpu& vcpu : run.vcpus) {
        Duration time = vcpu.tail + run.costs.fetch * static_cast<Duration::rep>(vcpu.fetches) +
                        run.costs.ship * static_cast<Duration::rep>(vcpu.arrivals.size());
        for (const Need& need : vcpu.needs) time += need.ran;
        all.time = std::max(all.time, time);
        all.fetches += vcpu.fetches;
        all.ships += vcpu.arrivals.size();
    }
    return all;
}

Modelled oracle(const RecordedRun& run) {
    Modelled all;
    for (const RecordedVcpu& vcpu : run.vcpus) {
        const Modelled one = best_way(run, vcpu);
        all.time = std::max(all.time, one.time);
        all.fetches += one.fetches;
        all.ships += one.ships;
    }
    return all;
}

}  // namespace vsmp::locality
