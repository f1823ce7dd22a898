// bench_fault: what a page that lives elsewhere costs, and a ship, beside what cannot be undercut:
// a userfault answered on the spot, and raw frames over the same kind of port. Rounds of the one
// and the other alternate, and ratios of medians are what counts: machines are noisy.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "page_fault_broker/core/message.hpp"
#include "test/bench/bench_main.hpp"
#include "test/bench/fault_report.hpp"
#include "test/bench/fault_run.hpp"
#include "test/bench/plain_fault.hpp"
#include "test/bench/raw_echo.hpp"
#include "test/bench/tsc_rate.hpp"

namespace vsmp::bench {
namespace {

struct Settings {
    PortKind port = PortKind::veth;
    Output output = Output::text;
    unsigned rounds = 5;
    unsigned touches = 200;
    unsigned ships = 20;
    unsigned interval_us = 0;
    unsigned spin_us = 0;  // of the raw ping-pong: the quickest where CPUs are few
    std::string node_program;
};

constexpr auto kSmall = static_cast<std::uint32_t>(coherence::kMessageHeaderSize);
constexpr auto kPage = static_cast<std::uint32_t>(coherence::kMessageHeaderSize + kPageSize);

void append(std::vector<double>& to, const std::vector<double>& from, double divisor = 1) {
    for (double sample : from) to.push_back(sample / divisor);
}

void append(FaultReport& report, const FaultSamples& samples, double per_us) {
    append(report.local, samples.ticks(Touch::local), per_us);
    append(report.read_fetch, samples.ticks(Touch::read_fetch), per_us);
    append(report.upgrade, samples.ticks(Touch::upgrade), per_us);
    append(report.write_fetch, samples.ticks(Touch::write_fetch), per_us);
    append(report.zero_fetch, samples.ticks(Touch::zero_fetch), per_us);
    append(report.mapped, samples.ticks(Touch::mapped), per_us);
    append(report.ship, samples.ship_us);
    report.ship_frame_bytes_max =
        std::max(report.ship_frame_bytes_max, std::size_t{samples.ship_frame_bytes_max});
}

Result<> ping(RawEcho& raw, const Settings& settings, FaultReport& report) {
    const auto one = [&](std::uint32_t payload, std::vector<double>& to) -> Result<> {
        VSMP_TRY_ASSIGN(const auto us, raw.ping({.payload = payload,
                                                 .rounds = settings.touches,
                                                 .interval_us = settings.interval_us,
                                                 .spin_us = settings.spin_us}));
        append(to, us);
        return {};
    };
    VSMP_TRY(one(kSmall, report.raw_small));
    VSMP_TRY(one(kPage, report.raw_page));
    return one(static_cast<std::uint32_t>(report.ship_frame_bytes_max), report.raw_ship);
}

Result<FaultReport> measure(const Settings& settings, const std::string& folder) {
    FaultReport report;
    report.port = to_string(settings.port);
    report.rounds = settings.rounds;
    report.interval_us = settings.interval_us;
    VSMP_TRY_ASSIGN(const auto raw, RawEcho::start(settings.port, folder, settings.spin_us));
    const double per_us = ticks_per_us();
    FaultRun run{.port = settings.port,
                 .touches = settings.touches,
                 .interval_ticks = static_cast<std::uint64_t>(settings.interval_us * per_us),
                 .ships = settings.ships,
                 .name = "bench-fault-" + std::to_string(::getpid()),
                 .folder = folder,
                 .node_program = settings.node_program};
    for (unsigned round = 0; round < settings.rounds; ++round) {
        VSMP_TRY_ASSIGN(const FaultSamples samples, run_faults(run));
        append(report, samples, per_us);
        VSMP_TRY(ping(*raw, settings, report));
        VSMP_TRY_ASSIGN(const auto plain, plain_faults(settings.touches, settings.interval_us));
        append(report.plain, plain);
        if (settings.output == Output::text)
            std::fprintf(stderr, "round %u of %u\n", round + 1, settings.rounds);
    }
    return report;
}

}  // namespace
}  // namespace vsmp::bench

int main(int argc, char** argv) {
    using namespace vsmp::bench;
    Settings settings;
    CLI::App app{"Page faults between two local nodes, and ships, over their floors."};
    bool json = false;
    app.add_option("--port", settings.port, "veth (af_packet, needs root) or vhost")
        ->transform(CLI::Transformer(std::map<std::string, PortKind>{{"veth", PortKind::veth},
                                                                     {"vhost", PortKind::vhost}})
                        .description(""))
        ->transform(CLI::IsMember({"veth", "vhost"}));  // runs first, and names what there is
    app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--touches", settings.touches, "of each kind in a round")
        ->check(CLI::Range(1, 400))
        ->capture_default_str();
    app.add_option("--ships", settings.ships, "in a round")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--interval-us", settings.interval_us,
                   "between faults, and between pings: with more than 20 all sides sleep")
        ->check(CLI::Range(0, 10000));
    app.add_option("--raw-spin-us", settings.spin_us,
                   "how long both sides of the raw ping-pong poll before they sleep")
        ->check(CLI::Range(0, 1000000))
        ->capture_default_str();
    app.add_option("--node-program", settings.node_program,
                   "instead of this build's vsmp-node, to compare with");
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    settings.output = json ? Output::json : Output::text;
    return run_bench("bench_fault", settings.output,
                     [&](const std::string& folder) { return measure(settings, folder); });
}
