// A guest of a few nodes, simulated: what pages, vCPUs and hosts do, not how frames get there. The
// policies are the product's own, one a node. Pure: the same options give the same run.
//
// What it models: where each page may be read or written, holds, one transfer of a page at a time,
// pages of a prefetch coming behind the one asked for, ships with luggage, vCPUs that share CPUs,
// nodes that can hold so many pages only. What it leaves out: queueing at data planes, the cost of
// invalidations to whoever is invalidated, cache effects.
#pragma once

#include <functional>
#include <vector>

#include "locality_ml/policy.hpp"
#include "locality_ml/sim/workload.hpp"

namespace vsmp::locality::sim {

// The defaults are what docs/bench-fault.md measured.
struct Fabric {
    Duration fetch = std::chrono::microseconds(142);
    Duration upgrade = std::chrono::microseconds(157);
    // From a page's coming to its vCPU's running, which the policy is not told.
    Duration wake = std::chrono::microseconds(40);
    Duration next_page = std::chrono::microseconds(12);  // each further page of a prefetch
    Duration leave = std::chrono::microseconds(30);
    Duration ship = std::chrono::microseconds(213);
    Duration hold = std::chrono::microseconds(500);
    double jitter = 0.2;  // costs vary by so much, evenly, either way
};

struct SimOptions {
    Fabric fabric;
    Duration tick = std::chrono::milliseconds(10);     // loads and placement
    Duration sample = std::chrono::milliseconds(100);  // of progress
    Duration limit = std::chrono::seconds(60);         // give up
    std::uint64_t seed = 1;
};

struct SimResult {
    Duration time{};
    bool finished = false;
    std::uint64_t faults = 0, ships = 0, bytes = 0;
    std::uint64_t prefetch_used = 0, prefetch_wasted = 0;
    std::uint64_t most_ships_in_a_second = 0;  // of one vCPU
    std::vector<std::uint64_t> progress;       // by sample
};

// The policy of a node.
using MakePolicy = std::function<std::unique_ptr<Policy>(const PolicySetup&)>;

SimResult run(Workload& workload, const MakePolicy& make, const SimOptions& options);

}  // namespace vsmp::locality::sim
