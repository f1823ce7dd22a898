// What bench_fabric measures over one kind of port. Both ends run the same list.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dpdk_transport/bench/ends.hpp"

namespace vsmp::fabric {

struct BenchPlan {
    std::vector<std::string> wires;  // only these, by name; empty: all
    std::vector<std::size_t> round_trip_sizes{64, 4200, 8900};
    std::vector<std::size_t> stream_sizes{64, 4096, 4200, 8900};
    std::size_t repeats = 5;    // of everything, interleaved
    std::size_t rounds = 2000;  // round trips in one repeat
    Duration stream = std::chrono::milliseconds(100);
    std::size_t hog_rounds = 500;              // 0: no hogs
    Duration idle = std::chrono::seconds(30);  // 0: not measured
};

// At end 0 the document of this port; at end 1 nothing of use. "wires" has one entry each.
Result<nlohmann::json> run_jobs(const BenchPlan& plan, End& end, Meeting& meeting);

}  // namespace vsmp::fabric
