// Policies side by side: on the simulated workloads, or on the model of a recorded run.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "locality_ml/model.hpp"
#include "locality_ml/sim/cluster.hpp"

namespace vsmp::locality {

struct Cell {
    std::string policy;
    double ms = 0;
    std::uint64_t faults = 0, ships = 0;
    double mb = 0;
};
struct Row {
    std::string workload;
    std::vector<Cell> cells;  // fixed policies, learned, oracle
    double best_fixed_ms() const;
    double ms(std::string_view policy) const;
};

// Each policy `runs` times with other seeds; the run of median time is the cell. The oracle plans
// on the traces of all of them, and its best plan counts.
Row compare_simulated(const sim::NamedWorkload& workload, unsigned runs);
Row compare_recorded(const RecordedRun& run);

std::string as_table(std::span<const Row> rows);
std::string as_json(std::span<const Row> rows);
double learned_over_oracle_geomean(std::span<const Row> rows);

// A run of a simulated workload, its traces by node.
struct SimulatedTraces {
    sim::SimResult result;
    std::vector<std::vector<std::byte>> nodes;
};
SimulatedTraces record_simulated(const sim::NamedWorkload& workload, const std::string& policy,
                                 std::uint64_t seed);

}  // namespace vsmp::locality
