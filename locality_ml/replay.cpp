#include "locality_ml/replay.hpp"

#include <algorithm>
#include <unordered_map>

namespace vsmp::locality {
namespace {

constexpr Duration kAfterShip = std::chrono::milliseconds(4);
constexpr std::uint64_t kEnoughShips = 4;    // to fit stall_away
constexpr std::size_t kLookAhead = 256;      // needs within which a prefetched page is used
constexpr Duration::rep kPrefetchShare = 8;  // a page that comes behind another costs one eighth
constexpr int kMaxHops = 4;                  // ships for one need
constexpr Instant kModelStart{std::chrono::seconds(1)};

enum class Mark : std::uint8_t { fault, resumed, arrived, seen };
struct Event {
    Instant when;
    Mark mark;
    VcpuId vcpu;
    NodeId node;
    Duration cost{};    // resumed, arrived
    RemoteFault fault;  // fault
};

void collect(const TraceRecord& record, NodeId self, std::vector<Event>& events) {
    const Instant now = time_of(record);
    const auto add = [&](Mark mark, VcpuId vcpu, Duration cost, const RemoteFault& fault) {
        events.push_back({now, mark, vcpu, self, cost, fault});
    };
    if (const auto* decided = std::get_if<Decided>(&record))
        return add(Mark::fault, decided->fault.vcpu, {}, decided->fault);
    if (const auto* placed = std::get_if<Placed>(&record))
        return add(Mark::seen, placed->activity.vcpu, {}, {});
    const auto* told = std::get_if<Told>(&record);
    if (!told) return;
    if (const auto* fetched = std::get_if<Fetched>(&told->what))
        add(Mark::resumed, fetched->vcpu, fetched->cost, {});
    else if (const auto* arrived = std::get_if<Arrived>(&told->what))
        add(Mark::arrived, arrived->vcpu, arrived->blackout, {});
}

// One vCPU's story as it unfolds.
struct Story {
    std::optional<Instant> runs_since;
    std::optional<Instant> arrived;
    Instant waits_since{};
    bool known = false;
};

class Assembler {
  public:
    explicit Assembler(RecordedRun& run) : run_(run), stories_(run.vcpus.size()) {}

    void add(const Event& event) {
        Story& story = stories_[event.vcpu.value()];
        RecordedVcpu& vcpu = run_.vcpus[event.vcpu.value()];
        if (!story.known) {
            story.known = true;
            story.runs_since = event.when;
            vcpu.start = event.node;
        }
        switch (event.mark) {
            case Mark::fault: {
                const Duration ran =
                    story.runs_since ? event.when - *story.runs_since : Duration::zero();
                note_after_ship(story, event.when, ran, Duration::zero());
                vcpu.needs.push_back({event.fault.page, event.fault.access, event.node,
                                      event.fault.location, event.fault.code,
                                      std::max(ran, Duration::zero()), event.when});
                story.runs_since.reset();
                story.waits_since = event.when;
                vcpu.tail = {};
                return;
            }
            case Mark::resumed:
                fetch_cost_ += event.cost;
                ++run_.costs.fetches;
                note_after_ship(story, event.when, Duration::zero(),
                                event.when - story.waits_since);
                story.runs_since = event.when;
                return;
            case Mark::arrived:
                ship_cost_ += event.cost;
                ++run_.costs.ships;
                story.runs_since = story.arrived = event.when;
                return;
            case Mark::seen:
                if (story.runs_since)
                    vcpu.tail = std::max(event.when - *story.runs_since, Duration::zero());
                return;
        }
    }

    void fit() {
        CostModel& costs = run_.costs;
        if (costs.fetches > 0) costs.fetch = fetch_cost_ / static_cast<int>(costs.fetches);
        if (costs.ships > 0) costs.ship = ship_cost_ / static_cast<int>(costs.ships);
        const Duration all = ran_after_ + stalled_after_;
        if (costs.ships >= kEnoughShips && all > Duration::zero())
            costs.stall_away = std::clamp(
                static_cast<double>(stalled_after_.count()) / static_cast<double>(all.count()), 0.0,
                0.95);
    }

  private:
    void note_after_ship(const Story& story, Instant now, Duration ran, Duration stalled) {
        if (!story.arrived || now - *story.arrived > kAfterShip) return;
        ran_after_ += ran;
        stalled_after_ += stalled;
    }

    RecordedRun& run_;
    std::vector<Story> stories_;
    Duration fetch_cost_{}, ship_cost_{}, ran_after_{}, stalled_after_{};
};

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
            cost[n].time += need.ran;
            if (need.at.value() != n) cost[n].time += slowdown(run, need.ran);
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
    const auto best = std::min_element(
        cost.begin(), cost.end(), [](const Cost& a, const Cost& b) { return a.time < b.time; });
    return {best->time + vcpu.tail, best->fetches, best->ships};
}

}  // namespace

Result<ReplayResult> replay(ByteView bytes, Policy& policy) {
    VSMP_TRY_ASSIGN(TraceReader trace, TraceReader::open(bytes));
    ReplayResult result;
    const auto note = [&](bool same) {
        if (!same && result.differing++ == 0) result.first_difference = result.decisions;
        ++result.decisions;
    };
    for (;;) {
        VSMP_TRY_ASSIGN(const auto record, trace.next());
        if (!record) return result;
        if (const auto* decided = std::get_if<Decided>(&*record))
            note(policy.decide(decided->fault) == decided->decision);
        else if (const auto* placed = std::get_if<Placed>(&*record))
            note(policy.place(placed->activity) == placed->placement);
        else if (const auto* loads = std::get_if<LoadsTold>(&*record))
            policy.on_loads(std::span{loads->loads}.first(loads->count), loads->now);
        else
            policy.observe(std::get<Told>(*record).what);
    }
}

Result<RecordedRun> read_run(std::span<const ByteView> traces) {
    RecordedRun run;
    std::vector<Event> events;
    for (const ByteView bytes : traces) {
        VSMP_TRY_ASSIGN(TraceReader trace, TraceReader::open(bytes));
        const PolicySetup& setup = trace.header().setup;
        if (run.vcpus.empty()) {
            run.setup = setup;
            run.vcpus.resize(setup.vcpu_count);
        } else if (setup.node_count != run.setup.node_count ||
                   setup.vcpu_count != run.setup.vcpu_count) {
            return Error{"the traces are of different guests"};
        }
        for (;;) {
            VSMP_TRY_ASSIGN(const auto record, trace.next());
            if (!record) break;
            collect(*record, setup.self, events);
        }
    }
    std::stable_sort(events.begin(), events.end(),
                     [](const Event& a, const Event& b) { return a.when < b.when; });
    Assembler assembler{run};
    for (const Event& event : events) assembler.add(event);
    assembler.fit();
    if (!events.empty()) run.length = events.back().when - events.front().when;
    return run;
}

Modelled model(const RecordedRun& run, const MakePolicy& make) {
    return Model{run, make}.result();
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
