// What the simulated vCPUs do: instruction after instruction, each of which touches some pages at
// once.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "proto/ids.hpp"

namespace vsmp::coherence::sim {

struct Touch {
    std::size_t page = 0;
    Access access{};
};
using Instruction = std::vector<Touch>;

// The next instruction of a vCPU. Empty: it has none now and asks again after a while; none: it has
// come to its end.
using Load = std::function<std::optional<Instruction>(std::size_t vcpu)>;

// Any pages; half of all touches go to the first `at_once`, so that there is something to fight
// for.
Load random_load(std::size_t pages, std::size_t at_once, std::uint64_t seed);

// One vCPU on each node, `rounds` times over the pages, of which node n is home of
// `pages_per_node` from page n * pages_per_node on.
enum class Pattern : std::uint8_t {
    private_pages,      // each writes pages of its own, which the next node is home of
    read_shared,        // all read all pages
    migratory,          // one after the other reads and writes all pages
    producer_consumer,  // each writes its pages, and the next node reads them
    broadcast,          // node 0 writes all pages, and all others read them
};
inline constexpr std::array kPatterns{Pattern::private_pages, Pattern::read_shared,
                                      Pattern::migratory, Pattern::producer_consumer,
                                      Pattern::broadcast};
std::string_view name_of(Pattern pattern);
Load pattern_load(Pattern pattern, std::size_t nodes, std::size_t pages_per_node,
                  std::size_t rounds);

}  // namespace vsmp::coherence::sim
