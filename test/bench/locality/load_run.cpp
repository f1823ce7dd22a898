#include "test/bench/locality/load_run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "proto/fd.hpp"
#include "vmm/control/control_client.hpp"

namespace vsmp::bench {
namespace {

using namespace std::chrono_literals;
using wire::ControlReply;
using wire::ControlRequest;

// test/micro/loads/load.hpp and test/micro/entry.cpp.
constexpr unsigned kUnits = 50, kTicks = 60, kSlice = 70, kDone = 90, kReady = 91, kAtTheGate = 99;
constexpr unsigned kKinds = 10;
constexpr std::size_t kDataArgument = 8, kNodeBytesArgument = 9, kTicksArgument = 10,
                      kLimitArgument = 11, kStayArgument = 12, kGateArgument = 15;
// While vCPUs are placed and data is prepared; the policy that is measured takes over then.
constexpr const char* kPreparing = "always-fetch";
constexpr int kPlacingAttempts = 200;
// The nodes have told each other by then that the preparations are over.
constexpr auto kRest = 50ms;
constexpr unsigned kTimeout_s = 60;

struct ClosePipe {
    void operator()(std::FILE* pipe) const { ::pclose(pipe); }
};
using Pipe = std::unique_ptr<std::FILE, ClosePipe>;

bool begins_elsewhere(const LoadFile& load) {
    return std::ranges::any_of(load.begin, [](unsigned node) { return node != 0; });
}

std::vector<std::uint64_t> arguments(const LoadFile& load, const LoadRun& run) {
    std::vector<std::uint64_t> words = load.arguments;
    words.resize(kGateArgument + 1);
    for (std::size_t vcpu = 0; vcpu < load.data.size(); ++vcpu)
        words[kDataArgument] |= std::uint64_t{load.data[vcpu]} << 4 * vcpu;
    words[kNodeBytesArgument] = std::uint64_t{load.memory_mib} << 20;
    words[kTicksArgument] = static_cast<std::uint64_t>(run.ticks_per_ms);
    words[kLimitArgument] = load.ms;
    words[kStayArgument] = 1;
    words[kGateArgument] = begins_elsewhere(load) ? 1 : 0;
    return words;
}

std::string guest_xml(const LoadFile& load, const LoadRun& run) {
    std::string nodes, cells;
    for (unsigned node = 0; node < load.nodes(); ++node) {
        nodes += fmt::format(
            "<v:node id='{0}' cell='{0}' host='local'><v:link type='auto'/></v:node>", node);
        const std::string cpus = node == 0 ? fmt::format("cpus='0-{}'", load.begin.size() - 1) : "";
        cells +=
            fmt::format("<cell id='{}' {} memory='{}' unit='MiB'/>", node, cpus, load.memory_mib);
    }
    return fmt::format(
        "<domain type='kvm'><name>{}</name><metadata><v:cluster xmlns:v='urn:vsmp:domain:1'>"
        "{}<v:policy name='{}'/><v:spread mode='none'/></v:cluster></metadata>"
        "<memory unit='MiB'>{}</memory><vcpu>{}</vcpu>"
        "<os><type>hvm</type><kernel>{}/{}</kernel><cmdline>{}</cmdline></os>"
        "<cpu mode='host-passthrough'><numa>{}</numa></cpu></domain>\n",
        run.name, nodes, kPreparing, load.nodes() * load.memory_mib, load.begin.size(),
        VSMP_MICRO_DIR, load.guest, fmt::join(arguments(load, run), " "), cells);
}

// A node's program that runs vsmp-node on CPU (node % CPUs): each node is a machine of one CPU.
// vsmp-run names the node at the end of the command line, as GUEST/NODE.
Result<std::string> pinning_program(const LoadRun& run) {
    const std::string path = run.folder + "/node";
    std::ofstream{path} << "#!/bin/sh\nfor last; do :; done\n"
                        << "exec taskset -c $((${last##*/} % $(nproc))) '" << VSMP_PROGRAM_DIR
                        << "/vsmp-node' \"$@\"\n";
    if (::chmod(path.c_str(), 0755) != 0) return Error::from_errno("chmod " + path);
    return path;
}

// What the vCPUs report of their work, slice by slice, put together by phases.
class Slices {
  public:
    explicit Slices(std::size_t vcpus) : at_(vcpus) {}

    void add(unsigned vcpu, unsigned kind, double units) {
        At& at = at_[vcpu];
        if (at.slices == 0 || at.kind != kind) {
            at.kind = kind;
            at.slices = 0;
            ++at.rounds[kind];
        }
        std::vector<double>& slices = phase(kind, at.rounds[kind]).slices;
        if (at.slices >= slices.size()) slices.resize(at.slices + 1);
        slices[at.slices++] += units;
    }
    std::vector<LoadPhase> take() { return std::move(phases_); }

  private:
    struct At {
        unsigned kind = 0;
        std::size_t slices = 0;  // in this phase, so far
        std::array<unsigned, kKinds> rounds{};
    };
    LoadPhase& phase(unsigned kind, unsigned round) {
        for (LoadPhase& known : phases_)
            if (known.kind == kind && known.round == round) return known;
        return phases_.emplace_back(LoadPhase{.kind = kind, .round = round, .slices = {}});
    }

    std::vector<At> at_;  // by vCPU
    std::vector<LoadPhase> phases_;
};

// A guest that runs, seen from its console and its control socket.
class RunningLoad {
  public:
    RunningLoad(const LoadFile& load, const LoadRun& run) : load_(load), run_(run) {}

    Result<void> start();
    Result<void> place();
    Result<void> prepare();
    Result<LoadResult> measure();

  private:
    struct Report {
        unsigned vcpu = 0, code = 0;
        std::uint64_t value = 0;
    };

    Result<Report> next_report();
    Result<void> wait_for_all(unsigned code);
    Result<void> type_line();
    Result<ControlReply> ask(const ControlRequest& request) const {
        return control::ask_guest(run_.name, request);
    }
    Result<LoadResult> counters() const;
    Result<bool> place_once();
    std::string log() const {
        std::ifstream file{run_.folder + "/log"};
        return {std::istreambuf_iterator<char>{file}, {}};
    }

    const LoadFile& load_;
    const LoadRun& run_;
    UniqueFd input_;
    Pipe console_;
};

Result<void> RunningLoad::start() {
    const std::string xml = run_.folder + "/guest.xml", input = run_.folder + "/input";
    std::ofstream{xml} << guest_xml(load_, run_);
    std::filesystem::remove(input);
    if (::mkfifo(input.c_str(), 0600) != 0) return Error::from_errno("mkfifo");
    // Both ends: vsmp-run never sees the end of its input, and nobody waits for the other.
    input_ = UniqueFd{::open(input.c_str(), O_RDWR | O_CLOEXEC)};
    if (!input_) return Error::from_errno("open " + input);
    VSMP_TRY_ASSIGN(const std::string node_program, pinning_program(run_));
    const std::string command = fmt::format(
        "VSMP_LOCALITY_TRACE='{}' exec timeout {} '{}/vsmp-run' --local {} --node-program '{}' "
        "'{}' 2>'{}/log' <'{}'",
        run_.traces, kTimeout_s, VSMP_PROGRAM_DIR, load_.nodes(), node_program, xml, run_.folder,
        input);
    console_ = Pipe{::popen(command.c_str(), "r")};
    if (!console_) return Error::from_errno("popen vsmp-run");
    return {};
}

Result<RunningLoad::Report> RunningLoad::next_report() {
    char line[256];
    while (std::fgets(line, sizeof line, console_.get()) != nullptr) {
        Report report;
        unsigned long long value = 0;
        if (std::sscanf(line, "micro vcpu=%u report code=%u value=%llx", &report.vcpu, &report.code,
                        &value) == 3) {
            report.value = value;
            return report;
        }
    }
    return Error{"vsmp-run: " + log()};
}

// True: every vCPU is where it begins.
Result<bool> RunningLoad::place_once() {
    ControlRequest request;
    request.mutable_status();
    VSMP_TRY_ASSIGN(const ControlReply reply, ask(request));
    std::vector<int> at(load_.begin.size(), -1);
    for (const auto& node : reply.status().nodes())
        for (const auto vcpu : node.vcpus_here())
            if (vcpu < at.size()) at[vcpu] = static_cast<int>(node.id());
    bool placed = true;
    for (std::size_t vcpu = 0; vcpu < at.size(); ++vcpu) {
        if (at[vcpu] == static_cast<int>(load_.begin[vcpu])) continue;
        placed = false;
        ControlRequest ship;
        ship.mutable_ship()->set_vcpu(static_cast<std::uint32_t>(vcpu));
        ship.mutable_ship()->set_to(load_.begin[vcpu]);
        (void)ask(ship);  // refused while it is on its way: the next look tells
    }
    return placed;
}

// vCPUs that begin elsewhere wait at the gate until they are there.
Result<void> RunningLoad::place() {
    if (!begins_elsewhere(load_)) return {};
    VSMP_TRY(wait_for_all(kAtTheGate));
    for (int attempt = 0; attempt < kPlacingAttempts; ++attempt) {
        VSMP_TRY_ASSIGN(const bool placed, place_once());
        if (placed) return type_line();
        std::this_thread::sleep_for(2ms);
    }
    return Error{"the vCPUs do not stay where they were sent"};
}

Result<void> RunningLoad::wait_for_all(unsigned code) {
    for (std::size_t seen = 0; seen < load_.begin.size();) {
        VSMP_TRY_ASSIGN(const Report report, next_report());
        if (report.code == code) ++seen;
    }
    return {};
}

Result<void> RunningLoad::type_line() {
    if (::write(input_.get(), "\n", 1) != 1) return Error::from_errno("write to vsmp-run");
    return {};
}

Result<void> RunningLoad::prepare() {
    VSMP_TRY(wait_for_all(kReady));
    ControlRequest request;  // the same one anew, too: its trace begins here

    request.mutable_policy()->set_name(run_.policy);
    VSMP_TRY(ask(request));
    return {};
}

Result<LoadResult> RunningLoad::counters() const {
    ControlRequest request;
    request.mutable_stats();
    VSMP_TRY_ASSIGN(const ControlReply reply, ask(request));
    LoadResult sum;
    for (const wire::NodeStats& node : reply.stats().nodes()) {
        sum.fetches += node.fetches_read() + node.fetches_write() + node.upgrades();
        sum.ships += node.ships_in();
        sum.bytes += node.fabric().bytes_sent();
        const auto& stream = node.read_ahead();
        const auto& companions = node.companions();
        sum.prefetched += node.prefetches();
        sum.prefetch_used += node.prefetch_used();
        sum.prefetch_wasted += node.prefetch_wasted();
        sum.ahead_used += stream.used() + companions.used();
        sum.ahead_wasted += stream.wasted() + companions.wasted();
    }
    return sum;
}

Result<LoadResult> RunningLoad::measure() {
    std::this_thread::sleep_for(kRest);
    VSMP_TRY_ASSIGN(const LoadResult before, counters());
    VSMP_TRY(type_line());
    std::array<double, kKinds> rate{};  // units a second, of all vCPUs
    std::vector<std::array<double, kKinds>> units(load_.begin.size());
    Slices slices{load_.begin.size()};
    for (std::size_t done = 0; done < load_.begin.size();) {
        VSMP_TRY_ASSIGN(const Report report, next_report());
        if (report.vcpu >= units.size()) return Error{"a report of a vCPU that there is not"};
        const auto value = static_cast<double>(report.value);
        if (report.code == kDone) {
            ++done;
        } else if (report.code >= kUnits && report.code < kUnits + kKinds) {
            units[report.vcpu][report.code - kUnits] = value;
        } else if (report.code >= kTicks && report.code < kTicks + kKinds) {
            const unsigned kind = report.code - kTicks;
            const double seconds = value / run_.ticks_per_ms / 1000;
            if (seconds > 0) rate[kind] += units[report.vcpu][kind] / seconds;
        } else if (report.code >= kSlice && report.code < kSlice + kKinds) {
            slices.add(report.vcpu, report.code - kSlice, value);
        }
    }
    VSMP_TRY_ASSIGN(LoadResult result, counters());
    result.fetches -= before.fetches;
    result.ships -= before.ships;
    result.bytes -= before.bytes;
    result.prefetched -= before.prefetched;
    result.prefetch_used -= before.prefetch_used;
    result.prefetch_wasted -= before.prefetch_wasted;
    result.ahead_used -= before.ahead_used;
    result.ahead_wasted -= before.ahead_wasted;
    result.phases = slices.take();
    for (std::size_t kind = 0; kind < load_.quota.size(); ++kind) {
        if (load_.quota[kind] == 0) continue;
        if (kind >= kKinds || rate[kind] == 0)
            return Error{fmt::format("no work of kind {} was done", kind)};
        result.by_kind.push_back(load_.quota[kind] / rate[kind]);
        result.seconds += result.by_kind.back();
    }
    ControlRequest stop;
    stop.mutable_stop();
    VSMP_TRY(ask(stop));
    return result;
}

}  // namespace

Result<LoadResult> run_load(const LoadFile& load, const LoadRun& run) {
    RunningLoad running{load, run};
    VSMP_TRY(running.start());
    VSMP_TRY(running.place());
    VSMP_TRY(running.prepare());
    return running.measure();
}

}  // namespace vsmp::bench
