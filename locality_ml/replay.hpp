// Recorded runs, again: the same policy must decide the same; another one is tried on a model of
// the run; and an oracle that knows the future gives the bound.
//
// The model has one vCPU after the other meet the needs that the traces show (the page of every
// remote fault, where it was, and how long the vCPU had run before), at costs fitted from the
// traces. What it cannot know: pages that were touched without a fault. While a vCPU is modelled
// elsewhere than it was recorded, its run is slowed by what was seen after the recorded ships. So a
// trace recorded under always-fetch tells most, and what the model says is worth less the more a
// policy ships.
#pragma once

#include <functional>
#include <span>

#include "locality_ml/trace.hpp"

namespace vsmp::locality {

struct ReplayResult {
    std::uint64_t decisions = 0;  // placements included
    std::uint64_t differing = 0;
    std::optional<std::uint64_t> first_difference;  // number of the decision
};
// Tells `policy`, new and made for the header's setup, all that was recorded.
Result<ReplayResult> replay(ByteView trace, Policy& policy);

struct Need {
    PageNumber page;
    Access access{};
    NodeId at;        // where the vCPU was
    NodeId location;  // where the page was
    CodeAddress code;
    Duration ran{};  // before it, since the one before was met
    Instant when;
};

struct RecordedVcpu {
    NodeId start;
    std::vector<Need> needs;
    Duration tail{};  // run after the last need
};

// Fitted from the traces; the defaults hold where they show none.
struct CostModel {
    Duration fetch = std::chrono::microseconds(150);
    Duration ship = std::chrono::microseconds(250);
    double stall_away = 0.3;               // share of the time that a vCPU waits right after a ship
    std::uint64_t fetches = 0, ships = 0;  // that it is fitted from
};

struct RecordedRun {
    PolicySetup setup;  // of any node
    std::vector<RecordedVcpu> vcpus;
    CostModel costs;
    Duration length{};
};
// The traces of all nodes of one run, whose clocks agree (nodes of one host).
Result<RecordedRun> read_run(std::span<const ByteView> traces);

struct Modelled {
    Duration time{};  // of the slowest vCPU
    std::uint64_t fetches = 0, ships = 0;
};
using MakePolicy = std::function<std::unique_ptr<Policy>(const PolicySetup&)>;
Modelled model(const RecordedRun& run, const MakePolicy& make);

// For each vCPU the cheapest sequence of nodes to be on, by dynamic programming over its needs:
// what no policy can do better for one vCPU while the others do what they did, pages being where
// they were recorded.
Modelled oracle(const RecordedRun& run);

}  // namespace vsmp::locality
