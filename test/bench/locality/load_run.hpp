// One run of a workload: vsmp-run with local nodes, each on a CPU of its own as far as there are
// some, and the micro-guest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/result.hpp"
#include "test/bench/locality/load_file.hpp"

namespace vsmp::bench {

struct LoadRun {
    std::string policy;
    std::string name;    // of the guest, unique on this machine
    std::string folder;  // for its files; exists, and is its XDG_RUNTIME_DIR
    std::string traces;  // folder for what the nodes record; exists
    double ticks_per_ms = 0;
};

// A while in which one kind of work was done.
struct LoadPhase {
    unsigned kind = 0, round = 0;  // of this kind, the round-th
    std::vector<double> slices;    // units done by all vCPUs in every 100 ms
};

struct LoadResult {
    double seconds = 0;           // for the load's quota
    std::vector<double> by_kind;  // the same, by kind of work
    // Of all nodes, while the work was done.
    std::uint64_t fetches = 0;  // pages and permissions obtained from another node
    std::uint64_t ships = 0;
    std::uint64_t bytes = 0;  // on the fabric
    // Pages that the policy had fetched ahead, and what became of them.
    std::uint64_t prefetched = 0, prefetch_used = 0, prefetch_wasted = 0;
    std::uint64_t ahead_used = 0,
                  ahead_wasted = 0;       // the same of the broker's own (read-ahead, ..)
    std::uint64_t ships_in_a_second = 0;  // most of one vCPU
    std::vector<LoadPhase> phases;
};

// Takes seconds. Of each node, LoadRun::traces has then what the measured policy was told and
// decided, as node-N.2.trace. Errors tell what vsmp-run said.
Result<LoadResult> run_load(const LoadFile& load, const LoadRun& run);

}  // namespace vsmp::bench
