#include "scale.hpp"

#include <algorithm>
#include <utility>

namespace vsmp::coherence::sim {

ScalePoint measure(Pattern pattern, std::size_t nodes, const ScaleSettings& settings) {
    const std::size_t pages_per_node = std::max<std::size_t>(settings.pages / nodes, 1);
    Options options{.seed = settings.seed, .nodes = nodes, .pages_per_node = pages_per_node};
    options.events = 100'000'000;  // the load ends by itself
    options.wire = settings.wire;
    options.reaction = options.think = Duration::zero();
    options.hold = settings.hold;
    options.load = pattern_load(pattern, nodes, pages_per_node, settings.rounds);
    Outcome outcome = Cluster{options}.run();
    ScalePoint point{
        .pattern = pattern, .nodes = nodes, .problem = outcome.problem, .misses = outcome.misses};
    if (outcome.misses == 0 || outcome.waits.empty()) return point;
    const auto misses = static_cast<double>(outcome.misses);
    point.messages = static_cast<double>(outcome.traffic.messages) / misses;
    point.for_sharers = 2 * static_cast<double>(outcome.traffic.invalidations) / misses;
    point.bytes = static_cast<double>(outcome.traffic.bytes) / misses;
    std::ranges::sort(outcome.waits);
    const auto at = [&](std::size_t percent) {
        const std::size_t index = outcome.waits.size() * percent / 100;
        return static_cast<double>(outcome.waits[index].count()) /
               static_cast<double>(settings.round_trip().count());
    };
    point.median = at(50), point.p90 = at(90), point.p99 = at(99);
    return point;
}

std::vector<ScalePoint> measure_all(std::size_t most_nodes, const ScaleSettings& settings) {
    std::vector<ScalePoint> points;
    for (const Pattern pattern : kPatterns)
        for (std::size_t nodes = 2; nodes <= most_nodes; nodes *= 2)
            points.push_back(measure(pattern, nodes, settings));
    return points;
}

}  // namespace vsmp::coherence::sim
