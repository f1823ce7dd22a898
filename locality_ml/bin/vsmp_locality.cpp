// vsmp-locality: records, replays, compares and plots ship-or-fetch policies. tools/dev locality.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "locality_ml/bin/compare.hpp"
#include "locality_ml/bin/explain.hpp"
#include "locality_ml/bin/hot_pages.hpp"
#include "locality_ml/bin/plot.hpp"
#include "locality_ml/policies.hpp"
#include "locality_ml/replay.hpp"

namespace {

using namespace vsmp;
using namespace vsmp::locality;

struct Options {
    std::string workload, output;
    std::string recorded_policy = "always-fetch";
    std::string replayed_policy;  // empty: the recorded one
    std::vector<std::string> files, workloads;
    std::uint64_t seed = 1;
    unsigned runs = 5;
    double from = 0, to = std::numeric_limits<double>::infinity();
    bool json = false;
};

Result<std::vector<std::byte>> read_file(const std::string& name) {
    std::ifstream file{name, std::ios::binary};
    const std::vector<char> text{std::istreambuf_iterator<char>{file}, {}};
    if (!file) return Error{"cannot read " + name};
    const auto bytes = std::as_bytes(std::span{text});
    return std::vector<std::byte>{bytes.begin(), bytes.end()};
}

Result<void> write_file(const std::string& name, std::string_view text) {
    std::ofstream file{name, std::ios::binary};
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.flush();
    if (!file) return Error{"cannot write " + name};
    return {};
}

Result<const sim::NamedWorkload*> find_workload(const std::string& name) {
    std::string known;
    for (const sim::NamedWorkload& workload : sim::workloads()) {
        if (workload.name == name) return &workload;
        known += " " + std::string{workload.name};
    }
    return Error{"no workload '" + name + "'; there are:" + known};
}

Result<RecordedRun> read_runs(const std::vector<std::string>& names) {
    std::vector<std::vector<std::byte>> files;
    for (const std::string& name : names) {
        VSMP_TRY_ASSIGN(std::vector<std::byte> bytes, read_file(name));
        files.push_back(std::move(bytes));
    }
    const std::vector<ByteView> views{files.begin(), files.end()};
    return read_run(views);
}

Result<void> record(const Options& options) {
    VSMP_TRY_ASSIGN(const sim::NamedWorkload* workload, find_workload(options.workload));
    VSMP_TRY(make_policy(options.recorded_policy, {}));
    const SimulatedTraces traces =
        record_simulated(*workload, options.recorded_policy, options.seed);
    std::filesystem::create_directories(options.output);
    for (std::size_t i = 0; i < traces.nodes.size(); ++i) {
        const std::string name = options.output + "/node-" + std::to_string(i) + ".trace";
        const auto& bytes = traces.nodes[i];
        VSMP_TRY(write_file(name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
        std::printf("%s: %zu bytes\n", name.c_str(), bytes.size());
    }
    return {};
}

Result<void> replay_files(const Options& options) {
    bool same = true;
    for (const std::string& name : options.files) {
        VSMP_TRY_ASSIGN(const std::vector<std::byte> bytes, read_file(name));
        VSMP_TRY_ASSIGN(const TraceReader trace, TraceReader::open(bytes));
        const std::string policy_name =
            options.replayed_policy.empty() ? trace.header().policy : options.replayed_policy;
        VSMP_TRY_ASSIGN(const auto policy, make_policy(policy_name, trace.header().setup));
        VSMP_TRY_ASSIGN(const ReplayResult result, replay(bytes, *policy));
        std::printf("%s: recorded under %s, replayed under %s: %lu decisions, %lu differ\n",
                    name.c_str(), trace.header().policy.c_str(), policy_name.c_str(),
                    result.decisions, result.differing);
        if (policy_name == trace.header().policy && result.differing > 0) same = false;
    }
    if (!same) return Error{"the same policy decided otherwise"};
    return {};
}

Result<std::vector<Row>> rows_of(const Options& options) {
    std::vector<Row> rows;
    if (!options.files.empty()) {
        VSMP_TRY_ASSIGN(const RecordedRun run, read_runs(options.files));
        rows.push_back(compare_recorded(run));
        return rows;
    }
    for (const sim::NamedWorkload& workload : sim::workloads()) {
        const auto& wanted = options.workloads;
        if (!wanted.empty() &&
            std::find(wanted.begin(), wanted.end(), workload.name) == wanted.end())
            continue;
        rows.push_back(compare_simulated(workload, options.runs));
    }
    return rows;
}

Result<void> compare(const Options& options) {
    VSMP_TRY_ASSIGN(const std::vector<Row> rows, rows_of(options));
    std::fputs((options.json ? as_json(rows) : as_table(rows)).c_str(), stdout);
    return {};
}

Result<void> pages(const Options& options) {
    for (const std::string& name : options.files) {
        VSMP_TRY_ASSIGN(const std::vector<std::byte> bytes, read_file(name));
        VSMP_TRY_ASSIGN(const std::vector<HotPage> hot, hot_pages(bytes, options.from, options.to));
        for (const HotPage& page : hot)
            std::printf("%lx %lu %lu\n", page.page.value(), page.faults, page.writes);
    }
    return {};
}

Result<void> explain(const Options& options) {
    std::vector<std::vector<std::byte>> files;
    for (const std::string& name : options.files) {
        VSMP_TRY_ASSIGN(std::vector<std::byte> bytes, read_file(name));
        files.push_back(std::move(bytes));
    }
    VSMP_TRY_ASSIGN(const std::string text, explain_run({files.begin(), files.end()}));
    std::fputs(text.c_str(), stdout);
    return {};
}

Result<void> plot(const Options& options) {
    if (!options.files.empty()) {
        VSMP_TRY_ASSIGN(const RecordedRun run, read_runs(options.files));
        return write_file(options.output, plot_run(run));
    }
    VSMP_TRY_ASSIGN(const std::vector<Row> rows, rows_of(options));
    return write_file(options.output, plot_rows(rows));
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Policies of ship or fetch: recorded, replayed, compared, plotted"};
    app.require_subcommand(1);
    Options options;
    auto* recording = app.add_subcommand("record", "a simulated guest, to one trace a node");
    recording->add_option("--workload", options.workload, "which one")->required();
    recording->add_option("--policy", options.recorded_policy, "always-fetch if not said");
    recording->add_option("--seed", options.seed, "of the simulation");
    recording->add_option("DIRECTORY", options.output, "for the traces")->required();
    auto* replaying = app.add_subcommand("replay", "traces through a policy; compares decisions");
    replaying->add_option("--policy", options.replayed_policy, "another than the recorded one");
    replaying->add_option("TRACE", options.files, "of one node each")->required();
    auto* comparing = app.add_subcommand("compare", "all policies and the oracle, as a table");
    comparing->add_option("--workload", options.workloads, "only these simulated ones");
    comparing->add_option("--runs", options.runs, "of each simulated workload and policy")
        ->check(CLI::Range(1U, 100U));
    comparing->add_flag("--json", options.json, "for programs");
    comparing->add_option("TRACE", options.files,
                          "of all nodes of one run, instead of simulations");
    auto* explaining = app.add_subcommand("explain", "a recorded run, each step and why, as text");
    explaining->add_option("TRACE", options.files, "of all nodes of one run")->required();
    auto* counting = app.add_subcommand(
        "pages",
        "remote faults by page: lines PAGE (hexadecimal) FAULTS WRITES, the hottest first");
    counting->add_option("--from", options.from, "seconds, of the clock of the trace's host");
    counting->add_option("--to", options.to, "likewise");
    counting->add_option("TRACE", options.files, "of one node each")->required();
    auto* plotting = app.add_subcommand("plot", "the comparison, or a recorded run, as SVG");
    plotting->add_option("--runs", options.runs, "of each simulated workload and policy")
        ->check(CLI::Range(1U, 100U));
    plotting->add_option("OUTPUT", options.output, "the picture")->required();
    plotting->add_option("TRACE", options.files, "of all nodes of one run, instead of simulations");
    CLI11_PARSE(app, argc, argv);

    const auto done = *recording    ? record(options)
                      : *replaying  ? replay_files(options)
                      : *comparing  ? compare(options)
                      : *explaining ? explain(options)
                      : *counting   ? pages(options)
                                    : plot(options);
    if (done) return 0;
    std::fprintf(stderr, "vsmp-locality: %s\n", done.error().message.c_str());
    return 1;
}
