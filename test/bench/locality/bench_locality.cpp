// bench_locality: each workload of loads/ under each policy, in turn, again and again, so that what
// else the machine does disturbs all alike; then one table.
#include <sys/resource.h>
#include <unistd.h>
#include <x86intrin.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "proto/monotonic_clock.hpp"
#include "test/bench/bench_main.hpp"
#include "test/bench/locality/locality_report.hpp"
#include "test/bench/locality/replayed_oracle.hpp"

namespace vsmp::bench {
namespace {

constexpr int kNice = -10;

struct Settings {
    Output output = Output::text;
    unsigned runs = 5;
    std::vector<std::string> policies{"always-fetch", "always-ship", "threshold", "learned"};
    std::vector<std::string> rows;  // empty: all
    std::string loads = VSMP_LOADS_DIR;
    std::string traces;  // empty: not kept
};

double ticks_per_ms() {
    const Instant begin = monotonic_now();
    const std::uint64_t from = __rdtsc();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const std::uint64_t to = __rdtsc();
    const std::chrono::duration<double, std::milli> took = monotonic_now() - begin;
    return static_cast<double>(to - from) / took.count();
}

// A row is meant by its name or the beginning of it.
bool wanted(const Settings& settings, const LoadFile& load) {
    return settings.rows.empty() || std::ranges::any_of(settings.rows, [&](const std::string& row) {
               return load.row.starts_with(row);
           });
}

void tell(unsigned round, const std::string& row, const std::string& policy,
          const LoadResult& result) {
    std::fprintf(stderr, "round %u: %-15s %-13s %8.3f s %7llu fetches %5llu ships", round + 1,
                 row.c_str(), policy.c_str(), result.seconds,
                 static_cast<unsigned long long>(result.fetches),
                 static_cast<unsigned long long>(result.ships));
    if (result.by_kind.size() > 1)
        for (const double seconds : result.by_kind) std::fprintf(stderr, " %.3f s", seconds);
    std::fputc('\n', stderr);
}

// One run and its traces, which are replayed: the same policy must decide the same.
Result<RecordedLoad> run_and_read(const Settings& settings, const LoadFile& load, LoadRun run) {
    run.traces = settings.traces.empty() ? run.folder + "/traces"
                                         : settings.traces + "/" + load.row + "/" + run.policy;
    std::filesystem::remove_all(run.traces);
    std::filesystem::create_directories(run.traces);
    const auto in = [&](const Error& error) { return error.in(load.row + ", " + run.policy); };
    auto result = run_load(load, run);
    if (!result) return in(result.error());
    auto recorded = read_traces(run.traces);
    if (!recorded) return in(recorded.error());
    result->ships_in_a_second = recorded->most_ships_in_a_second();
    return RecordedLoad{*std::move(result), *std::move(recorded)};
}

Result<LocalityReport> measure(const Settings& settings, const std::string& folder) {
    ::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
    // On a machine that does other things too; without the right to it, so be it.
    (void)::setpriority(PRIO_PROCESS, 0, kNice);
    VSMP_TRY_ASSIGN(std::vector<LoadFile> loads, read_loads(settings.loads));
    std::erase_if(loads, [&](const LoadFile& load) { return !wanted(settings, load); });
    LocalityReport report{.rows = {}, .policies = settings.policies, .results = {}};
    for (const LoadFile& load : loads) report.rows.push_back(load.row);
    LoadRun run{.policy = {},
                .name = "bench-locality-" + std::to_string(::getpid()),
                .folder = folder,
                .traces = {},
                .ticks_per_ms = ticks_per_ms()};
    for (unsigned round = 0; round < settings.runs; ++round)
        for (const LoadFile& load : loads) {
            Round results;
            for (const std::string& policy : settings.policies) {
                run.policy = policy;
                VSMP_TRY_ASSIGN(results[policy], run_and_read(settings, load, run));
                tell(round, load.row, policy, results[policy].result);
            }
            results[kOracle].result = replayed_oracle(results);
            tell(round, load.row, kOracle, results[kOracle].result);
            for (auto& [policy, one] : results)
                report.results[load.row][policy].push_back(std::move(one.result));
        }
    return report;
}

}  // namespace
}  // namespace vsmp::bench

int main(int argc, char** argv) {
    using namespace vsmp::bench;
    Settings settings;
    CLI::App app{"Workloads on two local nodes under each ship-or-fetch policy."};
    bool json = false;
    app.add_option("--runs", settings.runs, "of each workload under each policy")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--policies", settings.policies)->delimiter(',')->capture_default_str();
    app.add_option("--rows", settings.rows, "names of rows, or how they begin; all by default")
        ->delimiter(',');
    app.add_option("--loads", settings.loads, "folder with descriptions")->capture_default_str();
    app.add_option("--traces", settings.traces,
                   "keep each policy's last run of each row here, as ROW/POLICY/node-N.2.trace");
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    settings.output = json ? Output::json : Output::text;
    return run_bench("bench_locality", settings.output,
                     [&](const std::string& folder) { return measure(settings, folder); });
}
