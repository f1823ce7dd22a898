#include "test/bench/locality/locality_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

namespace vsmp::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kSliceMs = 100;
constexpr double kSettled = 0.9;

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Of the phase that took longest to settle.
double settled(const LoadResult& run) {
    double last = 0;
    for (const LoadPhase& phase : run.phases) last = std::max(last, settled_after_ms(phase.slices));
    return last;
}

struct Cell {
    double seconds = 0, fetches = 0, ships = 0, bytes = 0, settled = 0;
    double prefetched = 0, used = 0, wasted = 0, ahead_used = 0, ahead_wasted = 0;
    double fastest = 0, slowest = 0;
    double ships_in_a_second = 0;  // of all runs the most
    std::size_t runs = 0;
};

std::optional<Cell> cell(const LocalityReport& report, const std::string& row,
                         const std::string& policy) {
    const auto found = report.results.find(row);
    if (found == report.results.end()) return std::nullopt;
    const auto runs = found->second.find(policy);
    if (runs == found->second.end() || runs->second.empty()) return std::nullopt;
    const auto of = [&](auto field) {
        std::vector<double> values;
        for (const LoadResult& run : runs->second) values.push_back(field(run));
        return values;
    };
    const std::vector<double> seconds = of([](const LoadResult& r) { return r.seconds; });
    const auto count = [&](auto member) {
        return median(of([&](const LoadResult& r) { return static_cast<double>(r.*member); }));
    };
    return Cell{.seconds = median(seconds),
                .fetches = count(&LoadResult::fetches),
                .ships = count(&LoadResult::ships),
                .bytes = count(&LoadResult::bytes),
                .settled = median(of(settled)),
                .prefetched = count(&LoadResult::prefetched),
                .used = count(&LoadResult::prefetch_used),
                .wasted = count(&LoadResult::prefetch_wasted),
                .ahead_used = count(&LoadResult::ahead_used),
                .ahead_wasted = count(&LoadResult::ahead_wasted),
                .fastest = *std::ranges::min_element(seconds),
                .slowest = *std::ranges::max_element(seconds),
                .ships_in_a_second = std::ranges::max(of(
                    [](const LoadResult& r) { return static_cast<double>(r.ships_in_a_second); })),
                .runs = seconds.size()};
}

// The median time of the row's best policy that does not learn.
double best_fixed(const LocalityReport& report, const std::string& row) {
    double best = 0;
    for (const std::string& policy : report.policies) {
        const auto one = cell(report, row, policy);
        if (policy != kLearned && one && (best == 0 || one->seconds < best)) best = one->seconds;
    }
    return best;
}

// None where there is no plan.
std::optional<Cell> oracle_cell(const LocalityReport& report, const std::string& row) {
    std::optional<Cell> best = cell(report, row, kOracle);
    for (const std::string& policy : report.policies) {
        const auto one = cell(report, row, policy);
        if (best && one && one->seconds < best->seconds) best = one;
    }
    return best;
}

double geometric_mean(const std::vector<double>& values) {
    double sum = 0;
    for (double value : values) sum += std::log(value);
    return values.empty() ? 0 : std::exp(sum / static_cast<double>(values.size()));
}

// By row.
std::vector<double> learned_over_oracle(const LocalityReport& report) {
    std::vector<double> ratios;
    for (const std::string& row : report.rows) {
        const auto oracle = oracle_cell(report, row), learned = cell(report, row, kLearned);
        if (oracle && learned && oracle->seconds > 0)
            ratios.push_back(learned->seconds / oracle->seconds);
    }
    return ratios;
}

}  // namespace

double settled_after_ms(const std::vector<double>& slices) {
    const auto half = static_cast<std::ptrdiff_t>(slices.size() / 2);
    const double settled = median({slices.begin() + half, slices.end()});
    const auto reached =
        std::ranges::find_if(slices, [&](double units) { return units >= kSettled * settled; });
    return kSliceMs * static_cast<double>(reached - slices.begin());
}

std::string to_table(const LocalityReport& report) {
    constexpr std::array kLines{
        "",       "  fetches", "  ships", "  MB", "  ships/s most", "  settled ms", "  prefetched",
        "  used", "  wasted"};
    std::vector<std::string> columns = report.policies;
    columns.emplace_back(kOracle);
    std::string text = fmt::format("{:<17}", "time / best fixed");
    for (const std::string& column : columns) text += fmt::format(" {:>12}", column);
    text += "   best fixed s\n";
    for (const std::string& row : report.rows) {
        const double best = best_fixed(report, row);
        std::array<std::string, kLines.size()> lines;
        for (std::size_t i = 0; i < lines.size(); ++i)
            lines[i] = fmt::format("{:<17}", i == 0 ? row : kLines[i]);
        for (const std::string& column : columns) {
            const auto one =
                column == kOracle ? oracle_cell(report, row) : cell(report, row, column);
            if (!one) {
                for (std::string& line : lines) line += fmt::format(" {:>12}", "-");
                continue;
            }
            lines[0] += fmt::format(" {:>12.2f}", best > 0 ? one->seconds / best : 0);
            lines[1] += fmt::format(" {:>12.0f}", one->fetches);
            lines[2] += fmt::format(" {:>12.0f}", one->ships);
            lines[3] += fmt::format(" {:>12.1f}", one->bytes / 1e6);
            lines[4] += fmt::format(" {:>12.0f}", one->ships_in_a_second);
            lines[5] += fmt::format(" {:>12.0f}", one->settled);
            lines[6] += fmt::format(" {:>12.0f}", one->prefetched);
            lines[7] += fmt::format(" {:>12.0f}", one->used);
            lines[8] += fmt::format(" {:>12.0f}", one->wasted);
        }
        lines[0] += fmt::format(" {:>14.3f}", best);
        for (const std::string& line : lines) text += line + "\n";
    }
    return text + fmt::format("learned / oracle, geometric mean: {:.2f}\n",
                              geometric_mean(learned_over_oracle(report)));
}

std::string to_json(const LocalityReport& report) {
    Json json, over_best;
    std::vector<double> ratios;
    for (const std::string& row : report.rows) {
        const double best = best_fixed(report, row);
        for (const std::string& policy : report.policies) {
            const auto one = cell(report, row, policy);
            if (!one) continue;
            Json entry{{"seconds", one->seconds},
                       {"fastest", one->fastest},
                       {"slowest", one->slowest},
                       {"runs", one->runs},
                       {"fetches", one->fetches},
                       {"ships", one->ships},
                       {"bytes", one->bytes},
                       {"prefetched", one->prefetched},
                       {"prefetch_used", one->used},
                       {"prefetch_wasted", one->wasted},
                       {"ahead_used", one->ahead_used},
                       {"ahead_wasted", one->ahead_wasted},
                       {"ships_in_a_second", one->ships_in_a_second},
                       {"settled_after_ms", one->settled}};
            if (best > 0) entry["over_best"] = one->seconds / best;
            json["rows"][row][policy] = entry;
            if (policy != kLearned || best == 0) continue;
            over_best[row] = one->seconds / best;
            ratios.push_back(one->seconds / best);
        }
        if (const auto oracle = oracle_cell(report, row))
            json["rows"][row][kOracle] = {{"seconds", oracle->seconds},
                                          {"fetches", oracle->fetches},
                                          {"ships", oracle->ships}};
    }
    json["learned_over_best"] = over_best;
    json["learned_over_best_geomean"] = geometric_mean(ratios);
    json["learned_over_oracle_geomean"] = geometric_mean(learned_over_oracle(report));
    return json.dump(2) + "\n";
}

}  // namespace vsmp::bench
