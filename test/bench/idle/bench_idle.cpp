// bench_idle: what two nodes cost while their guest halts (but for a timer once a second), and how
// long a touch of a page that is on the other node takes after silence, beside one right after
// another. test/micro/nap.cpp is the guest.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "test/bench/bench_main.hpp"
#include "test/bench/idle/process_use.hpp"
#include "test/bench/tsc_rate.hpp"
#include "test/e2e/micro_guest.hpp"

namespace vsmp::bench {
namespace {

using nlohmann::json;

struct Settings {
    unsigned seconds = 30, touches = 100, silence_ms = 100;
};

struct IdleReport {
    json runs;  // of each kind of port
};

struct Port {
    const char* name;
    std::string link;  // attributes of <link>
};

json summary(std::vector<double> us) {
    std::ranges::sort(us);
    const auto at = [&](double q) {
        return us[std::min(us.size() - 1, static_cast<std::size_t>(q * double(us.size())))];
    };
    return {{"median_us", at(0.5)}, {"p99_us", at(0.99)}, {"samples", us.size()}};
}

Result<json> rest(const Port& port, const Settings& settings, double per_us) {
    using Use = std::array<ProcessUse, 2>;
    e2e::MicroGuest guest{
        {.link = port.link, .patience = std::chrono::seconds(settings.seconds + 60)},
        "nap",
        {settings.seconds, settings.touches, settings.silence_ms, 0, 0, 0, 0, 0, 0, 0,
         static_cast<std::uint64_t>(per_us * 1000)},
        e2e::Begin::spread};
    const auto failed = [&](const char* what) { return Error{what + guest.transcript()}; };
    const auto use = [&] {
        return Use{use_of(guest.scratch().node_process(0).value()),
                   use_of(guest.scratch().node_process(1).value())};
    };
    if (!guest.ready()) return failed("the vCPUs are not where they belong:\n");
    guest.type_line();
    if (!guest.run().wait_for("micro vcpu=0 report code=1 ")) return failed("no rest:\n");
    const Use before = use();
    const Instant began = monotonic_now();
    if (!guest.run().wait_for("micro vcpu=0 report code=2 ")) return failed("no end of rest:\n");
    const Use after = use();
    const double took = std::chrono::duration<double>(monotonic_now() - began).count();
    if (!guest.ends_well()) return failed("the guest ended badly:\n");
    json found{{"port", port.name}, {"seconds", took}, {"silence_ms", settings.silence_ms}};
    for (std::size_t node = 0; node < 2; ++node) {
        const ProcessUse used = after[node] - before[node];
        found["nodes"].push_back({{"cpu_percent", static_cast<double>(used.cpu_ns) / took / 1e7},
                                  {"wake_ups_per_s", static_cast<double>(used.wake_ups) / took},
                                  {"threads", used.threads}});
    }
    const auto touches = [&](unsigned code) {
        std::vector<double> us;
        for (const std::uint64_t ticks : guest.reports(0, code))
            us.push_back(static_cast<double>(ticks) / per_us);
        return summary(std::move(us));
    };
    found["touch_after_silence"] = touches(3);
    found["touch_after_another"] = touches(4);
    return found;
}

std::string to_table(const IdleReport& report) {
    std::string text;
    for (const json& run : report.runs) {
        text += fmt::format("{}, guest halted for {:.0f} s\n", run.at("port").get<std::string>(),
                            run.at("seconds").get<double>());
        for (std::size_t node = 0; node < run.at("nodes").size(); ++node) {
            const json& its = run.at("nodes")[node];
            text +=
                fmt::format("  node {}: {:.2f}% of a core, {:.0f} wake-ups a second, {} threads\n",
                            node, its.at("cpu_percent").get<double>(),
                            its.at("wake_ups_per_s").get<double>(), its.at("threads").get<int>());
        }
        const auto line = [&](const std::string& what, const json& touch) {
            text +=
                fmt::format("  touch of a remote page {}: {:.0f} us median, {:.0f} us p99\n", what,
                            touch.at("median_us").get<double>(), touch.at("p99_us").get<double>());
        };
        line(fmt::format("after {} ms of silence", run.at("silence_ms").get<int>()),
             run.at("touch_after_silence"));
        line("right after another", run.at("touch_after_another"));
    }
    return text;
}

std::string to_json(const IdleReport& report) {
    return report.runs.dump(2) + "\n";
}

Result<IdleReport> measure(const Settings& settings, const std::string& folder) {
    const double per_us = ticks_per_us();
    IdleReport report{json::array()};
    for (const Port& port :
         {Port{"af_packet on veth", "type='auto'"},
          Port{"vhost-user pair", "type='vhost-user' socket='" + folder + "/link'"}}) {
        VSMP_TRY_ASSIGN(json found, rest(port, settings, per_us));
        report.runs.push_back(std::move(found));
    }
    return report;
}

}  // namespace
}  // namespace vsmp::bench

int main(int argc, char** argv) {
    using namespace vsmp;
    bench::Settings settings;
    bool json = false;
    CLI::App app{"What nodes cost while their guest halts, and what waking up takes."};
    app.add_option("--seconds", settings.seconds, "how long the guest rests")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
    app.add_option("--touches", settings.touches, "of a remote page, of each kind")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--silence-ms", settings.silence_ms, "before a touch")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    if (const std::string why = e2e::why_not_here(); !why.empty()) {
        std::printf("SKIPPED: %s\n", why.c_str());
        return 0;
    }
    return bench::run_bench(
        "bench_idle", json ? bench::Output::json : bench::Output::text,
        [&](const std::string& folder) { return bench::measure(settings, folder); });
}
