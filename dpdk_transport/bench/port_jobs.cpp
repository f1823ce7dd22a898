#include "dpdk_transport/bench/port_jobs.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <thread>

#include "dpdk_transport/bench/fabric_report.hpp"
#include "dpdk_transport/bench/measure.hpp"
#include "dpdk_transport/scheduling.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// How a fault looks: docs/fabric.md.
constexpr std::size_t kFaultSize = 4200;
constexpr Duration kFaultInterval = 300us, kSpin = 20us, kSilence = 100ms;
constexpr std::size_t kWakeUps = 50;
// Each way more than any ring and pool has buffers: the first use of one costs page faults.
constexpr std::size_t kWarmUp = 2000;

std::string key_of(std::size_t size) {
    return std::to_string(size);
}

struct Samples {
    std::map<std::string, std::vector<Duration>> round_trips;  // by size
    std::map<std::string, StreamResult> streams;
};

Result<> one_repeat(const BenchPlan& plan, Wire& wire, Meeting& meeting, Samples& samples) {
    for (std::size_t size : plan.round_trip_sizes) {
        VSMP_TRY_ASSIGN(
            const auto taken,
            round_trips(wire, meeting, {.size = size, .rounds = plan.rounds, .warm_up = kWarmUp}));
        auto& all = samples.round_trips[key_of(size)];
        all.insert(all.end(), taken.begin(), taken.end());
    }
    for (std::size_t size : plan.stream_sizes) {
        VSMP_TRY_ASSIGN(const auto result,
                        stream(wire, meeting, {.size = size, .duration = plan.stream}));
        StreamResult& all = samples.streams[key_of(size)];
        all.chunks.insert(all.chunks.end(), result.chunks.begin(), result.chunks.end());
        all.messages += result.messages, all.lost += result.lost, all.cpu += result.cpu;
    }
    return {};
}

json describe(const StreamResult& result, std::size_t size) {
    auto chunks = result.chunks;
    std::ranges::sort(chunks);
    const double median =
        chunks.empty() ? 0 : std::chrono::duration<double>(chunks[chunks.size() / 2]).count();
    const double rate = median > 0 ? static_cast<double>(kChunk) / median : 0;
    const double cpu = std::chrono::duration<double, std::micro>(result.cpu).count();
    return {{"gbit_s", rate * static_cast<double>(size) * 8 / 1e9},
            {"messages_s", rate},
            {"cpu_us_per_message",
             result.messages > 0 ? cpu / static_cast<double>(result.messages) : 0},
            {"messages", result.messages},
            {"lost", result.lost}};
}

json describe(const Samples& samples) {
    json one;
    for (const auto& [size, durations] : samples.round_trips) one["rtt"][size] = summary(durations);
    for (const auto& [size, result] : samples.streams)
        one["stream"][size] = describe(result, std::stoul(size));
    return one;
}

// Processes that burn every core, as busy guests do, at the default nice value.
class Hogs {
  public:
    Hogs() {
        for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) {
            const pid_t child = ::fork();
            if (child != 0) {
                children_.push_back(child);
                continue;
            }
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::setpriority(PRIO_PROCESS, 0, 0);
            for (volatile unsigned spin = 0;;) spin = spin + 1;
        }
    }
    ~Hogs() {
        for (pid_t child : children_) {
            if (child <= 0) continue;
            ::kill(child, SIGKILL);
            ::waitpid(child, nullptr, 0);
        }
    }
    Hogs(const Hogs&) = delete;
    Hogs& operator=(const Hogs&) = delete;

  private:
    std::vector<pid_t> children_;
};

// Runs `body` on a thread of this class, at the default nice value to begin with.
template <class Body>
Result<> on_thread(Scheduling scheduling, Body body) {
    Result<> result;
    std::thread{[&] {
        ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 0);
        result = schedule_this_thread(scheduling);
        if (result) result = body();
    }}.join();
    return result;
}

struct Class {
    const char* key;
    Scheduling scheduling;
};
constexpr Class kClasses[] = {
    {"normal", Scheduling::normal}, {"nice", Scheduling::nice}, {"fifo", Scheduling::fifo}};

Result<json> under_hogs(const BenchPlan& plan, End& end, Meeting& meeting) {
    json found{{"size", kFaultSize},
               {"interval_us",
                std::chrono::duration_cast<std::chrono::microseconds>(kFaultInterval).count()},
               {"spin_us", std::chrono::duration_cast<std::chrono::microseconds>(kSpin).count()}};
    std::map<std::string, std::map<std::string, std::vector<Duration>>> samples;
    const RoundTripJob job{.size = kFaultSize,
                           .rounds = plan.hog_rounds,
                           .warm_up = 20,
                           .interval = kFaultInterval,
                           .spin = kSpin};
    const auto measure = [&](const char* key, Scheduling scheduling) -> Result<> {
        for (auto& wire : end.wires) {
            if (wire->wakeup_fd() < 0) continue;
            VSMP_TRY(on_thread(scheduling, [&]() -> Result<> {
                VSMP_TRY_ASSIGN(const auto taken, round_trips(*wire, meeting, job));
                auto& all = samples[wire->name()][key];
                all.insert(all.end(), taken.begin(), taken.end());
                return {};
            }));
        }
        return {};
    };
    for (std::size_t i = 0; i < std::min<std::size_t>(plan.repeats, 3); ++i) {
        VSMP_TRY(measure("idle", Scheduling::normal));
        std::optional<Hogs> hogs;
        if (meeting.self() == 0) hogs.emplace();
        for (const Class& c : kClasses) VSMP_TRY(measure(c.key, c.scheduling));
        VSMP_TRY(meeting.meet());
    }
    for (const auto& [name, by_class] : samples)
        for (const auto& [key, all] : by_class) found["wires"][name][key] = summary(all);
    return found;
}

Duration process_cpu() {
    timespec spent{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

// Nothing is sent; both ends wait as a node does. DPDK's own threads count, too.
Result<json> when_idle(const BenchPlan& plan, End& end, Meeting& meeting) {
    Wire* wire = end.find("fabric");
    const RoundTripJob silent{
        .size = kFaultSize, .rounds = 1, .interval = plan.idle, .spin = kSpin};
    const Duration before = process_cpu();
    const Instant start = monotonic_now();
    VSMP_TRY(round_trips(*wire, meeting, silent));
    const double percent = 100 * std::chrono::duration<double>(process_cpu() - before) /
                           std::chrono::duration<double>(monotonic_now() - start);
    meeting.shared().cpu_ns[static_cast<std::size_t>(meeting.self())] =
        static_cast<std::uint64_t>(percent * 1000);
    VSMP_TRY(meeting.meet());
    json cpu = json::array();
    for (const auto& end_percent : meeting.shared().cpu_ns)
        cpu.push_back(static_cast<double>(end_percent) / 1000);
    const RoundTripJob job{
        .size = kFaultSize, .rounds = kWakeUps, .interval = kSilence, .spin = kSpin};
    VSMP_TRY_ASSIGN(const auto taken, round_trips(*wire, meeting, job));
    return json{
        {"seconds", std::chrono::duration<double>(plan.idle).count()},
        {"cpu_percent", cpu},
        {"silence_ms", std::chrono::duration_cast<std::chrono::milliseconds>(kSilence).count()},
        {"wake_up", summary(taken)}};
}

}  // namespace

Result<json> run_jobs(const BenchPlan& plan, End& end, Meeting& meeting) {
    // What else runs on this machine is not to be measured.
    VSMP_TRY(schedule_this_thread(Scheduling::automatic));
    std::erase_if(end.wires, [&](const auto& wire) {
        return !plan.wires.empty() && std::ranges::count(plan.wires, wire->name()) == 0;
    });
    for (auto& wire : end.wires) VSMP_TRY(settle(*wire, meeting));  // links come up
    std::map<std::string, Samples> samples;
    for (std::size_t i = 0; i < plan.repeats; ++i)
        for (auto& wire : end.wires)
            VSMP_TRY(one_repeat(plan, *wire, meeting, samples[wire->name()]));
    json found{{"round_trip_sizes", plan.round_trip_sizes}, {"stream_sizes", plan.stream_sizes}};
    for (auto& [name, of_wire] : samples)
        if (meeting.self() == 0) found["wires"][name] = describe(of_wire);
    if (plan.hog_rounds > 0) {
        VSMP_TRY_ASSIGN(found["hogs"], under_hogs(plan, end, meeting));
    }
    if (plan.idle > Duration::zero() && end.find("fabric") != nullptr) {
        VSMP_TRY_ASSIGN(found["idle"], when_idle(plan, end, meeting));
    }
    return found;
}

}  // namespace vsmp::fabric
