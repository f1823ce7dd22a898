// What bench_locality measured, made into its table. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "test/bench/locality/load_run.hpp"

namespace vsmp::bench {

struct LocalityReport {
    std::vector<std::string> rows;      // in the order of the table
    std::vector<std::string> policies;  // "learned" is compared with the others
    std::map<std::string, std::map<std::string, std::vector<LoadResult>>> results;  // row, policy
};

std::string to_table(const LocalityReport& report);
// Beside what the table has: learned_over_best by row (1.1: a tenth slower than the best fixed
// policy of that row), its geometric mean, and when learned had settled.
std::string to_json(const LocalityReport& report);

// From the begin, how long until a slice of 100 ms has 90% of what the second half of them has in
// the median. `slices` as in LoadResult.
double settled_after_ms(const std::vector<double>& slices);

}  // namespace vsmp::bench
