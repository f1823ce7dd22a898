#include "locality_ml/recorded_run.hpp"

#include <algorithm>
#include <optional>

namespace vsmp::locality {
namespace {

constexpr Duration kAfterShip = std::chrono::milliseconds(4);
constexpr std::uint64_t kEnoughShips = 4;  // to fit stall_away

Duration scaled(Duration d, double factor) {
    return Duration{static_cast<Duration::rep>(static_cast<double>(d.count()) * factor)};
}

enum class Mark : std::uint8_t { fault, resumed, arrived, seen, loads };
struct Event {
    Instant when;
    Mark mark;
    VcpuId vcpu;
    NodeId node;
    Duration cost{};           // resumed, arrived
    float busy = 1;            // seen
    RemoteFault fault;         // fault
    std::size_t loads_at = 0;  // loads: index into the run's
};

void collect(const TraceRecord& record, NodeId self, RecordedRun& run, std::vector<Event>& events) {
    Event event{.when = time_of(record), .mark = {}, .vcpu = {}, .node = self, .fault = {}};
    if (const auto* decided = std::get_if<Decided>(&record)) {
        event.mark = Mark::fault;
        event.vcpu = decided->fault.vcpu;
        event.fault = decided->fault;
    } else if (const auto* placed = std::get_if<Placed>(&record)) {
        event.mark = Mark::seen;
        event.vcpu = placed->activity.vcpu;
        event.busy = std::clamp(placed->activity.busy, 0.0F, 1.0F);
    } else if (const auto* loads = std::get_if<LoadsTold>(&record)) {
        event.mark = Mark::loads;
        event.loads_at = run.loads.size();
        const auto begin = loads->loads.begin();
        run.loads.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(loads->count));
        run.loads.back().resize(run.setup.node_count);
    } else {
        const Observation& what = std::get<Told>(record).what;
        if (const auto* fetched = std::get_if<Fetched>(&what)) {
            event.mark = Mark::resumed;
            event.vcpu = fetched->vcpu;
            event.cost = fetched->cost;
        } else if (const auto* arrived = std::get_if<Arrived>(&what)) {
            event.mark = Mark::arrived;
            event.vcpu = arrived->vcpu;
            event.cost = arrived->blackout;
        } else {
            return;
        }
    }
    events.push_back(event);
}

// One vCPU's story as it unfolds.
struct Story {
    std::optional<Instant> runs_since;
    Duration ran_before{};  // that, of the run that goes on
    std::optional<Instant> arrived;
    Instant waits_since{};
    Instant looked_at{};           // when it was last told how busy it was
    std::size_t needs_before = 0;  // then
    bool known = false;
};

class Assembler {
  public:
    explicit Assembler(RecordedRun& run)
        : run_(run), stories_(run.vcpus.size()), loads_(run.setup.node_count) {}

    void add(const Event& event) {
        if (event.mark == Mark::loads) {
            loads_[event.node.value()] = event.loads_at;
            return;
        }
        Story& story = stories_[event.vcpu.value()];
        RecordedVcpu& vcpu = run_.vcpus[event.vcpu.value()];
        if (!story.known) {
            story.known = true;
            story.runs_since = story.looked_at = event.when;
            vcpu.start = vcpu.end = event.node;
        }
        switch (event.mark) {
            case Mark::fault:
                on_fault(story, vcpu, event);
                return;
            case Mark::resumed:
                fetch_cost_ += event.cost;
                ++run_.costs.fetches;
                ++vcpu.fetches;
                note_after_ship(story, event.when, Duration::zero(),
                                event.when - story.waits_since);
                run_on(story, event.when);
                return;
            case Mark::arrived:
                ship_cost_ += event.cost;
                ++run_.costs.ships;
                vcpu.arrivals.push_back(event.when);
                vcpu.end = event.node;
                run_on(story, event.when);
                story.arrived = story.looked_at = event.when;
                story.needs_before = vcpu.needs.size();
                return;
            case Mark::seen:
                discount_idle(story, vcpu, event);
                vcpu.tail = story.runs_since ? story.ran_before : Duration::zero();
                vcpu.tail_loads = loads_[event.node.value()];
                return;
            case Mark::loads:
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
    static void run_on(Story& story, Instant now) {
        story.runs_since = now;
        story.ran_before = {};
    }
    static Duration ran(const Story& story, Instant now) {
        if (!story.runs_since) return {};
        return story.ran_before + std::max(now - *story.runs_since, Duration::zero());
    }

    void on_fault(Story& story, RecordedVcpu& vcpu, const Event& event) {
        const Duration before = ran(story, event.when);
        note_after_ship(story, event.when, before, Duration::zero());
        vcpu.needs.push_back({event.fault.page, event.fault.access, event.node,
                              event.fault.location, event.fault.code, before, event.when,
                              loads_[event.node.value()]});
        story.runs_since.reset();
        story.waits_since = event.when;
        vcpu.tail = {};
    }

    // What it was idle since the last look, it did not run; when in that time is not known.
    static void discount_idle(Story& story, RecordedVcpu& vcpu, const Event& event) {
        const std::span needs = std::span{vcpu.needs}.subspan(story.needs_before);
        Duration all = ran(story, event.when);
        for (const Need& need : needs) all += need.ran;
        const Duration idle = scaled(event.when - story.looked_at, 1 - event.busy);
        if (all > Duration::zero()) {
            const double rest = std::max(
                1 - static_cast<double>(idle.count()) / static_cast<double>(all.count()), 0.0);
            for (Need& need : needs) need.ran = scaled(need.ran, rest);
            if (story.runs_since) {
                story.ran_before = scaled(ran(story, event.when), rest);
                story.runs_since = event.when;
            }
        }
        story.looked_at = event.when;
        story.needs_before = vcpu.needs.size();
    }

    void note_after_ship(const Story& story, Instant now, Duration ran, Duration stalled) {
        if (!story.arrived || now - *story.arrived > kAfterShip) return;
        ran_after_ += ran;
        stalled_after_ += stalled;
    }

    RecordedRun& run_;
    std::vector<Story> stories_;
    std::vector<std::size_t> loads_;  // by node: what it was last told
    Duration fetch_cost_{}, ship_cost_{}, ran_after_{}, stalled_after_{};
};

float share(const NodeLoad& load, float more) {
    return std::min(1.0F, load.cpus / std::max(load.runnable + more, 1.0F));
}

}  // namespace

double RecordedRun::crowding(std::size_t loads_index, NodeId at, NodeId there) const {
    const NodeLoad& was = loads[loads_index][at.value()];
    const NodeLoad& is = loads[loads_index][there.value()];
    if (loads_index == 0 || was.host == is.host) return 1;
    return share(was, 0) / share(is, 1);
}

std::uint64_t RecordedRun::most_ships_in_a_second() const {
    std::size_t most = 0;
    for (const RecordedVcpu& vcpu : vcpus) {
        std::size_t first = 0;
        for (std::size_t last = 0; last < vcpu.arrivals.size(); ++last) {
            while (vcpu.arrivals[last] - vcpu.arrivals[first] >= std::chrono::seconds(1)) ++first;
            most = std::max(most, last - first + 1);
        }
    }
    return most;
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
            run.loads.emplace_back(setup.node_count);
        } else if (setup.node_count != run.setup.node_count ||
                   setup.vcpu_count != run.setup.vcpu_count) {
            return Error{"the traces are of different guests"};
        }
        for (;;) {
            VSMP_TRY_ASSIGN(const auto record, trace.next());
            if (!record) break;
            collect(*record, setup.self, run, events);
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

}  // namespace vsmp::locality
