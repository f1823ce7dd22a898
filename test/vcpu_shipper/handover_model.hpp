// Exhaustive exploration of the hand-over protocol: every interleaving of ships, refusals,
// interrupts and messages over links that are in order per pair of nodes, with the real step().
//
// Checked in every state: no vCPU runs on two nodes; every interrupt that was raised and not yet
// delivered is in exactly one place (two of one vector may merge where they wait together);
// interrupts are only delivered where the vCPU runs; each hop of an interrupt follows a higher
// epoch, so no path is longer than the number of hand-overs; no node sees a protocol violation.
// Whenever nothing is on its way: each vCPU runs somewhere and all interrupts were delivered.
// The graph has no cycle (whatever moves, uses up a bound, or an epoch), so every run ends.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "vcpu_shipper/core/handover.hpp"

namespace vsmp::shipper::model {

inline constexpr std::size_t kMaxModelNodes = 3;
inline constexpr std::size_t kMaxModelVcpus = 2;

struct Bounds {
    std::size_t nodes = 3, vcpus = 1;
    unsigned ships = 0;       // ship requests in all
    unsigned interrupts = 0;  // raised in all, at any node; the n-th is for vCPU n % vcpus...
    unsigned vectors = 1;     // ...and has vector n % vectors; at most 8
    unsigned refusals = 0;    // captures or installations that fail
    unsigned replays = 0;     // messages other than interrupts that are delivered twice
};

using StepFunction = std::function<Step(NodeId, VcpuId, const Handover&, const Event&)>;

struct Outcome {
    std::size_t states = 0, transitions = 0;
    unsigned longest_path = 0;           // events from the start to the last state
    unsigned most_hops = 0;              // of one interrupt
    std::optional<std::string> failure;  // what is broken, and the events that lead to it
};

// Stops at the first failure.
Outcome explore(const Bounds& bounds, const StepFunction& step_function);

}  // namespace vsmp::shipper::model
