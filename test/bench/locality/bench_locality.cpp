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
#include "test/bench/locality/locality_report.hpp"

namespace vsmp::bench {
namespace {

constexpr int kNice = -10;

enum class Output : std::uint8_t { text, json };

struct Settings {
    Output output = Output::text;
    unsigned runs = 5;
    std::vector<std::string> policies{"always-fetch", "always-ship", "threshold", "learned"};
    std::vector<std::string> rows;  // empty: all
    std::string loads = VSMP_LOADS_DIR;
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

Result<LocalityReport> measure(const Settings& settings, const std::string& folder) {
    VSMP_TRY_ASSIGN(std::vector<LoadFile> loads, read_loads(settings.loads));
    std::erase_if(loads, [&](const LoadFile& load) { return !wanted(settings, load); });
    LocalityReport report{.rows = {}, .policies = settings.policies, .results = {}};
    for (const LoadFile& load : loads) report.rows.push_back(load.row);
    LoadRun run{.policy = {},
                .name = "bench-locality-" + std::to_string(::getpid()),
                .folder = folder,
                .ticks_per_ms = ticks_per_ms()};
    for (unsigned round = 0; round < settings.runs; ++round)
        for (const LoadFile& load : loads)
            for (const std::string& policy : settings.policies) {
                run.policy = policy;
                auto result = run_load(load, run);
                if (!result) return result.error().in(load.row + ", " + policy);
                std::fprintf(stderr,
                             "round %u of %u: %-15s %-13s %8.3f s %7llu fetches %5llu ships\n",
                             round + 1, settings.runs, load.row.c_str(), policy.c_str(),
                             result->seconds, static_cast<unsigned long long>(result->fetches),
                             static_cast<unsigned long long>(result->ships));
                report.results[load.row][policy].push_back(*std::move(result));
            }
    return report;
}

int run(const Settings& settings) {
    char folder[] = "/tmp/vsmp-bench-XXXXXX";
    if (::mkdtemp(folder) == nullptr) {
        std::fprintf(stderr, "bench_locality: %s\n", Error::from_errno("mkdtemp").message.c_str());
        return 1;
    }
    ::setenv("XDG_RUNTIME_DIR", folder, 1);
    // On a machine that does other things too; without the right to it, so be it.
    (void)::setpriority(PRIO_PROCESS, 0, kNice);
    const auto report = measure(settings, folder);
    std::filesystem::remove_all(folder);
    if (!report) {
        std::fprintf(stderr, "bench_locality: %s\n", report.error().message.c_str());
        return 1;
    }
    const std::string text = settings.output == Output::json ? to_json(*report) : to_table(*report);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
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
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    settings.output = json ? Output::json : Output::text;
    return run(settings);
}
