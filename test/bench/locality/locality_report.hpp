// What bench_locality measured, made into its table. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "test/bench/locality/load_run.hpp"

namespace vsmp::bench {

inline constexpr const char* kLearned = "learned";
inline constexpr const char* kOracle = "oracle";  // replayed_oracle.hpp; not a policy

struct LocalityReport {
    std::vector<std::string> rows;      // in the order of the table
    std::vector<std::string> policies;  // kLearned is compared with the others
    std::map<std::string, std::map<std::string, std::vector<LoadResult>>> results;  // row, policy
};

std::string to_table(const LocalityReport& report);
// Beside what the table has: learned_over_best by row (1.1: a tenth slower than the best fixed
// policy of that row), its geometric mean, and learned_over_oracle_geomean. The oracle is never
// slower than the best policy of the row: that is a plan, too.
std::string to_json(const LocalityReport& report);

// From the begin, how long until a slice of 100 ms has 90% of what the second half of them has in
// the median. `slices` as in LoadPhase.
double settled_after_ms(const std::vector<double>& slices);

}  // namespace vsmp::bench
