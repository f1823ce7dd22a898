// What the protocol costs as a cluster grows, seen in the simulation: the product's brokers, one
// vCPU on each node, patterns of access (load.hpp).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cluster.hpp"

namespace vsmp::coherence::sim {

struct ScaleSettings {
    std::size_t pages = 256;  // of the guest, shared out among the nodes
    std::size_t rounds = 3;
    Wire wire{.latency = std::chrono::microseconds(10),
              .per_kilobyte = std::chrono::nanoseconds(819)};  // 10 Gbit/s
    Duration hold = std::chrono::microseconds(50);
    std::uint64_t seed = 1;

    Duration round_trip() const { return 2 * wire.latency; }
};

struct ScalePoint {
    Pattern pattern{};
    std::size_t nodes = 0;
    std::string problem;  // empty: none
    std::uint64_t misses = 0;
    // For each miss: messages between nodes, those that invalidate a sharer or say that it is done
    // (two for each), bytes.
    double messages = 0, for_sharers = 0, bytes = 0;
    // In round trips: what a vCPU waits.
    double median = 0, p90 = 0, p99 = 0;
};

ScalePoint measure(Pattern pattern, std::size_t nodes, const ScaleSettings& settings);
// For 2, 4, 8 and so on up to `most_nodes`, all patterns.
std::vector<ScalePoint> measure_all(std::size_t most_nodes, const ScaleSettings& settings);

std::string to_table(std::span<const ScalePoint> points, const ScaleSettings& settings);
std::string to_json(std::span<const ScalePoint> points, const ScaleSettings& settings);
// Messages per miss over the number of nodes, a line for each pattern.
std::string to_svg(std::span<const ScalePoint> points);

}  // namespace vsmp::coherence::sim
