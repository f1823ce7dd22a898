#include "test/bench/hotspot/hotspot_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace vsmp::bench {
namespace {

double sum(const std::vector<std::uint64_t>& counts) {
    return static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
}

}  // namespace

double HotspotRun::least_share() const {
    const double all = sum(increments);
    if (all == 0) return 0;
    return static_cast<double>(*std::ranges::min_element(increments)) * vcpus / all;
}

double HotspotRun::per_us() const {
    return sum(increments) / seconds / 1e6;
}

double HotspotRun::hand_overs_per_s() const {
    return sum(turns) / seconds;
}

std::string to_table(const std::vector<HotspotRun>& runs) {
    std::string text = fmt::format("{:>6}{:>9}{:>11}{:>12}{:>12}{:>10}{:>8}{:>13}{:>13}\n", "vCPUs",
                                   "hold us", "effective", "least/fair", "incr./us", "ideal",
                                   "ratio", "hand-over us", "hand-overs/s");
    for (const HotspotRun& run : runs)
        text += fmt::format(
            "{:>6}{:>9.0f}{:>11.0f}{:>12.2f}{:>12.1f}{:>10.1f}{:>8.2f}{:>13.1f}{:>13.0f}\n",
            run.vcpus, run.hold_us, run.effective_hold_us, run.least_share(), run.per_us(),
            run.ideal_per_us(), run.per_us() / run.ideal_per_us(), run.hand_over_us,
            run.hand_overs_per_s());
    return text;
}

std::string to_json(const std::vector<HotspotRun>& runs) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const HotspotRun& run : runs)
        json.push_back({{"vcpus", run.vcpus},
                        {"hold_us", run.hold_us},
                        {"effective_hold_us", run.effective_hold_us},
                        {"seconds", run.seconds},
                        {"least_over_fair", run.least_share()},
                        {"increments_per_us", run.per_us()},
                        {"ideal_per_us", run.ideal_per_us()},
                        {"over_ideal", run.per_us() / run.ideal_per_us()},
                        {"undisturbed_per_us", run.undisturbed_per_us},
                        {"hand_over_us", run.hand_over_us},
                        {"hand_overs_per_s", run.hand_overs_per_s()},
                        {"increments", run.increments},
                        {"turns", run.turns}});
    return json.dump(2) + "\n";
}

}  // namespace vsmp::bench
