#include "test/bench/locality/locality_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

namespace vsmp::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLearned = "learned";
constexpr double kSliceMs = 100;
constexpr double kSettled = 0.9;

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

struct Cell {
    double seconds = 0, fetches = 0, ships = 0, bytes = 0, prefetched = 0, wasted = 0, settled = 0;
    double fastest = 0, slowest = 0;
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
    return Cell{
        .seconds = median(seconds),
        .fetches = count(&LoadResult::fetches),
        .ships = count(&LoadResult::ships),
        .bytes = count(&LoadResult::bytes),
        .prefetched = count(&LoadResult::prefetched),
        .wasted = count(&LoadResult::prefetch_wasted),
        .settled = median(of([](const LoadResult& r) { return settled_after_ms(r.slices); })),
        .fastest = *std::ranges::min_element(seconds),
        .slowest = *std::ranges::max_element(seconds),
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

double geometric_mean(const std::vector<double>& values) {
    double sum = 0;
    for (double value : values) sum += std::log(value);
    return values.empty() ? 0 : std::exp(sum / static_cast<double>(values.size()));
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
    std::string text = fmt::format("{:<15}", "time / best fixed");
    for (const std::string& policy : report.policies) text += fmt::format(" {:>13}", policy);
    text += "   best fixed s\n";
    for (const std::string& row : report.rows) {
        const double best = best_fixed(report, row);
        std::string lines[4] = {fmt::format("{:<17}", row), fmt::format("{:<17}", "  fetches"),
                                fmt::format("{:<17}", "  ships"), fmt::format("{:<17}", "  MB")};
        for (const std::string& policy : report.policies) {
            const auto one = cell(report, row, policy);
            lines[0] += one && best > 0 ? fmt::format(" {:>13.2f}", one->seconds / best)
                                        : fmt::format(" {:>13}", "-");
            lines[1] += fmt::format(" {:>13.0f}", one ? one->fetches : 0);
            lines[2] += fmt::format(" {:>13.0f}", one ? one->ships : 0);
            lines[3] += fmt::format(" {:>13.1f}", one ? one->bytes / 1e6 : 0);
        }
        lines[0] += fmt::format(" {:>14.3f}", best);
        for (const std::string& line : lines) text += line + "\n";
    }
    return text;
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
                       {"prefetch_wasted", one->wasted},
                       {"settled_after_ms", one->settled}};
            if (best > 0) entry["over_best"] = one->seconds / best;
            json["rows"][row][policy] = entry;
            if (policy != kLearned || best == 0) continue;
            over_best[row] = one->seconds / best;
            ratios.push_back(one->seconds / best);
        }
    }
    json["learned_over_best"] = over_best;
    json["learned_over_best_geomean"] = geometric_mean(ratios);
    return json.dump(2) + "\n";
}

}  // namespace vsmp::bench
