// bench_hotspot: false sharing. vCPUs on nodes of their own increment adjacent words of one page
// (test/micro/hotspot.cpp): who gets how much, and how much of what the hold time permits.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "test/bench/hotspot/hotspot_report.hpp"
#include "test/bench/tsc_rate.hpp"
#include "test/e2e/micro_guest.hpp"

namespace vsmp::bench {
namespace {

struct Settings {
    std::vector<unsigned> nodes{2, 4};
    std::vector<unsigned> holds_us{1, 50, 200, 1'000, 10'000};
    unsigned ms = 1'000;
};

Result<HotspotRun> run_hotspot(unsigned nodes, unsigned hold_us, const Settings& settings,
                               double per_us) {
    const auto ticks = static_cast<std::uint64_t>(settings.ms * 1'000 * per_us);
    e2e::MicroGuest guest{{.nodes = nodes, .hold_us = hold_us, .read_ahead = 0},
                          "hotspot",
                          {0, ticks},
                          e2e::Begin::spread};
    if (!guest.ready()) return Error{"the vCPUs are not where they belong:\n" + guest.transcript()};
    guest.type_line();
    if (!guest.run().wait_for("micro vcpu=0 report code=5"))
        return Error{"vCPU 0 did not run:\n" + guest.transcript()};
    const std::vector<wire::NodeStats> stats = guest.stats();
    if (!guest.ends_well()) return Error{"the guest ended badly:\n" + guest.transcript()};
    HotspotRun run{
        .vcpus = nodes, .hold_us = static_cast<double>(hold_us), .seconds = settings.ms / 1e3};
    for (unsigned vcpu = 0; vcpu < nodes; ++vcpu) {
        const auto increments = guest.reports(vcpu, 1), turns = guest.reports(vcpu, 2);
        if (increments.size() != 1 || turns.size() != 1)
            return Error{"a vCPU did not report:\n" + guest.transcript()};
        run.increments.push_back(increments[0]);
        run.turns.push_back(turns[0]);
    }
    for (const wire::NodeStats& node : stats)
        run.effective_hold_us =
            std::max(run.effective_hold_us, static_cast<double>(node.hold_us()));
    const auto quick = guest.reports(0, 3), fetch = guest.reports(0, 4);
    if (quick.size() != 1 || fetch.size() != 1 || quick[0] == 0)
        return Error{"vCPU 0 did not report:\n" + guest.transcript()};
    run.undisturbed_per_us = 1024 * per_us / static_cast<double>(quick[0]);
    run.hand_over_us = static_cast<double>(fetch[0]) / per_us;
    return run;
}

int run(const Settings& settings, bool json) {
    if (const std::string why = e2e::why_not_here(); !why.empty()) {
        std::printf("SKIPPED: %s\n", why.c_str());
        return 0;
    }
    const double per_us = ticks_per_us();
    std::vector<HotspotRun> runs;
    for (const unsigned nodes : settings.nodes)
        for (const unsigned hold_us : settings.holds_us) {
            const auto run = run_hotspot(nodes, hold_us, settings, per_us);
            if (!run) {
                std::fprintf(stderr, "bench_hotspot: %s\n", run.error().message.c_str());
                return 1;
            }
            runs.push_back(*run);
        }
    const std::string text = json ? to_json(runs) : to_table(runs);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

}  // namespace
}  // namespace vsmp::bench

int main(int argc, char** argv) {
    vsmp::bench::Settings settings;
    bool json = false;
    CLI::App app{"vCPUs on nodes of their own that increment adjacent words of one page."};
    app.add_option("--nodes", settings.nodes, "numbers of nodes, each with one vCPU")
        ->check(CLI::Range(2, 8))
        ->capture_default_str();
    app.add_option("--holds", settings.holds_us, "hold times in us")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    app.add_option("--ms", settings.ms, "how long they run")
        ->check(CLI::Range(10, 30'000))
        ->capture_default_str();
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    return vsmp::bench::run(settings, json);
}
