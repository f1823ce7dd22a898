// bench_stream: how fast one thread writes through a region twice as large as its node's memory
// limit, beside what the bare port can carry. Without KVM: what the host's KVM takes for a fault is
// many times what a page costs here (docs/bench-fault.md), and nothing of vsmp's could be seen.
#include <CLI/CLI.hpp>

#include "test/bench/bench_main.hpp"
#include "test/bench/stream/stream_report.hpp"

namespace vsmp::bench {
namespace {

struct Settings {
    StreamPlan plan;
    std::vector<PortKind> ports{PortKind::veth, PortKind::vhost};
    Output output = Output::text;
};

Result<StreamReports> measure(const Settings& settings, const std::string& folder) {
    StreamReports reports;
    StreamPlan plan = settings.plan;
    plan.folder = folder;
    for (PortKind port : settings.ports) {
        plan.port = port;
        VSMP_TRY_ASSIGN(StreamReport report, run_stream(plan));
        reports.push_back(std::move(report));
    }
    return reports;
}

}  // namespace
}  // namespace vsmp::bench

int main(int argc, char** argv) {
    using namespace vsmp::bench;
    Settings settings;
    CLI::App app{"A loop over more memory than its node may have, beside the bare port."};
    bool json = false, loop_only = false;
    app.add_option("--port", settings.ports, "veth (af_packet, needs root), vhost; both by default")
        ->delimiter(',')
        ->transform(CLI::Transformer(std::map<std::string, PortKind>{{"veth", PortKind::veth},
                                                                     {"vhost", PortKind::vhost}})
                        .description(""))
        ->transform(CLI::IsMember({"veth", "vhost"}));  // runs first, and names what there is
    app.add_option("--rounds", settings.plan.rounds)
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--limit", settings.plan.limit_mib, "of the node that writes, MiB")
        ->check(CLI::Range(4, 1024))
        ->capture_default_str();
    app.add_flag("--loop-only", loop_only, "nothing beside it: for a profiler");
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    if (loop_only) settings.plan.beside = Beside::nothing;
    settings.output = json ? Output::json : Output::text;
    return run_bench("bench_stream", settings.output,
                     [&](const std::string& folder) { return measure(settings, folder); });
}
