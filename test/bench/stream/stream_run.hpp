// One kind of port for bench_stream: two processes with a native node and a bare port each. In
// turn, so that what disturbs the machine disturbs all alike: pages over the bare port, and a loop
// of one thread at node 1 that writes all of a region homed at node 0, twice as large as node 1's
// limit.
#pragma once

#include <string>
#include <vector>

#include "proto/result.hpp"
#include "test/bench/port_kind.hpp"

namespace vsmp::bench {

// Whether the loop is measured beside the bare port and the loop without read-ahead; nothing beside
// it is for a profiler.
enum class Beside : std::uint8_t { others, nothing };

struct StreamPlan {
    PortKind port = PortKind::veth;
    unsigned rounds = 5;
    unsigned limit_mib = 64;  // of node 1
    unsigned plain_mib = 8;   // how much of the region the loop without read-ahead writes
    Beside beside = Beside::others;
    std::string folder;  // for sockets
};

// Pages a second, one figure for each round.
struct StreamRates {
    // The better of one and two pages in a frame. `raw_memory`: both ways, the pages read from and
    // stored in as much memory as the loop uses; the others send the same bytes and store none.
    std::vector<double> raw_one_way, raw_both_ways, raw_memory;
    std::vector<double> loop, loop_without_read_ahead;
};

// What happened in all loops with read-ahead, for each page that was written.
struct StreamCosts {
    double faults = 0, frames_sent = 0, frames_received = 0, messages_sent = 0;
    double cpu_us_home = 0, cpu_us_writer = 0;  // of the whole process
    double cpu_us_loop = 0;                     // of that the thread that writes
    double read_ahead = 0, wasted = 0;          // pages fetched ahead, and those never used
    double fetched = 0, taken_home = 0;         // pages that came from home and that went there
};

struct StreamReport {
    PortKind port{};
    unsigned limit_mib = 0;
    StreamRates rates;
    StreamCosts costs;
};

// Takes seconds. The calling process must have one thread only.
Result<StreamReport> run_stream(const StreamPlan& plan);

}  // namespace vsmp::bench
