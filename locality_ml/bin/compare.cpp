#include "locality_ml/bin/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "locality_ml/policies.hpp"

namespace vsmp::locality {
namespace {

constexpr std::array<std::string_view, 4> kCompared{"always-fetch", "always-ship", "threshold",
                                                    "learned"};
constexpr std::size_t kFixed = 3;
constexpr std::uint64_t kEnoughShips = 4;  // for their mean to mean something

double to_ms(Duration d) {
    return static_cast<double>(d.count()) * 1e-6;
}

Cell median(std::vector<Cell> cells) {
    std::sort(cells.begin(), cells.end(), [](const Cell& a, const Cell& b) { return a.ms < b.ms; });
    return cells[cells.size() / 2];
}

Cell cell_of(std::string_view policy, const sim::SimResult& result) {
    return {std::string{policy}, to_ms(result.time), result.faults, result.ships,
            static_cast<double>(result.bytes) * 1e-6};
}

Result<RecordedRun> read_nodes(const SimulatedTraces& traces) {
    const std::vector<ByteView> views{traces.nodes.begin(), traces.nodes.end()};
    return read_run(views);
}

// The best plan over the runs that were recorded. What a ship does to what a vCPU runs on is known
// from the runs with ships only, so that they lend it to the others.
Cell best_plan(std::vector<RecordedRun> runs) {
    double stall = 0, ships = 0;
    for (const RecordedRun& run : runs) {
        const auto weight = static_cast<double>(run.costs.ships);
        if (run.costs.ships < kEnoughShips) continue;
        stall += run.costs.stall_away * weight;
        ships += weight;
    }
    Cell best;
    for (RecordedRun& run : runs) {
        if (ships > 0) run.costs.stall_away = stall / ships;
        const Modelled plan = oracle(run);
        if (best.policy.empty() || to_ms(plan.time) < best.ms)
            best = {"oracle", to_ms(plan.time), plan.fetches, plan.ships, 0};
    }
    return best;
}

}  // namespace

double Row::best_fixed_ms() const {
    double best = cells[0].ms;
    for (std::size_t i = 1; i < kFixed; ++i) best = std::min(best, cells[i].ms);
    return best;
}

double Row::ms(std::string_view policy) const {
    for (const Cell& cell : cells)
        if (cell.policy == policy) return cell.ms;
    VSMP_CHECK(false, "no such policy in the row");
}

SimulatedTraces record_simulated(const sim::NamedWorkload& workload, const std::string& policy,
                                 std::uint64_t seed) {
    SimulatedTraces traces;
    const auto guest = workload.make(seed);
    sim::SimOptions options;
    options.seed = seed;
    traces.nodes.reserve(kMaxNodes);  // the sinks point into it
    const sim::MakePolicy make = [&](const PolicySetup& setup) {
        std::vector<std::byte>& bytes = traces.nodes.emplace_back();
        return make_recording(*make_policy(policy, setup), {setup, policy}, [&](ByteView more) {
            bytes.insert(bytes.end(), more.begin(), more.end());
        });
    };
    traces.result = sim::run(*guest, make, options);
    return traces;
}

Row compare_simulated(const sim::NamedWorkload& workload, unsigned runs) {
    Row row{std::string{workload.name}, {}};
    std::vector<std::vector<Cell>> cells(kCompared.size() + 1);
    for (unsigned seed = 1; seed <= runs; ++seed) {
        std::vector<RecordedRun> recorded;
        for (std::size_t i = 0; i < kCompared.size(); ++i) {
            const auto traces = record_simulated(workload, std::string{kCompared[i]}, seed);
            cells[i].push_back(cell_of(kCompared[i], traces.result));
            auto run = read_nodes(traces);
            VSMP_CHECK(static_cast<bool>(run), "a trace just written cannot be read");
            recorded.push_back(*std::move(run));
        }
        cells.back().push_back(best_plan(std::move(recorded)));
    }
    for (auto& of_policy : cells) row.cells.push_back(median(std::move(of_policy)));
    return row;
}

Row compare_recorded(const RecordedRun& run) {
    Row row{"recorded", {}};
    for (const std::string_view policy : kCompared) {
        const Modelled result =
            model(run, [&](const PolicySetup& setup) { return *make_policy(policy, setup); });
        row.cells.push_back(
            {std::string{policy}, to_ms(result.time), result.fetches, result.ships, 0});
    }
    const Modelled bound = oracle(run);
    row.cells.push_back({"oracle", to_ms(bound.time), bound.fetches, bound.ships, 0});
    return row;
}

double learned_over_oracle_geomean(std::span<const Row> rows) {
    double sum = 0;
    for (const Row& row : rows) sum += std::log(row.ms("learned") / row.ms("oracle"));
    return rows.empty() ? 1 : std::exp(sum / static_cast<double>(rows.size()));
}

std::string as_table(std::span<const Row> rows) {
    std::string text = fmt::format("{:<14} {:>9}", "time / best", "best ms");
    if (rows.empty()) return text;
    for (const Cell& cell : rows[0].cells) text += fmt::format(" {:>24}", cell.policy);
    text += '\n';
    for (const Row& row : rows) {
        text += fmt::format("{:<14} {:>9.1f}", row.workload, row.best_fixed_ms());
        for (const Cell& cell : row.cells)
            text += fmt::format(" {:>6.2f} {:>7}f {:>7}s", cell.ms / row.best_fixed_ms(),
                                cell.faults, cell.ships);
        text += '\n';
    }
    text += fmt::format("learned / oracle, geometric mean: {:.2f}\n",
                        learned_over_oracle_geomean(rows));
    return text;
}

std::string as_json(std::span<const Row> rows) {
    std::string text = "{\"rows\": [";
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row& row = rows[i];
        text +=
            fmt::format("{}{{\"workload\": \"{}\", \"learned_over_best\": {:.4f}, \"policies\": {{",
                        i > 0 ? ", " : "", row.workload, row.ms("learned") / row.best_fixed_ms());
        for (std::size_t c = 0; c < row.cells.size(); ++c)
            text += fmt::format(
                "{}\"{}\": {{\"ms\": {:.3f}, \"faults\": {}, \"ships\": {}, \"mb\": {:.3f}}}",
                c > 0 ? ", " : "", row.cells[c].policy, row.cells[c].ms, row.cells[c].faults,
                row.cells[c].ships, row.cells[c].mb);
        text += "}}";
    }
    return text + fmt::format("], \"learned_over_oracle_geomean\": {:.4f}}}\n",
                              learned_over_oracle_geomean(rows));
}

}  // namespace vsmp::locality
