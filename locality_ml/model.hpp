// What other policies, and one that knows the future, would have made of a recorded run.
//
// The model has one vCPU after the other meet the needs that the traces show (the page of every
// remote fault, where it was, and how long the vCPU had run before), at costs fitted from the
// traces. What it cannot know: pages that were touched without a fault. While a vCPU is modelled
// elsewhere than it was recorded, its run is slowed by what was seen after the recorded ships. So a
// trace recorded under always-fetch tells most, and what the model says is worth less the more a
// policy ships.
#pragma once

#include <functional>

#include "locality_ml/recorded_run.hpp"

namespace vsmp::locality {

struct Modelled {
    Duration time{};  // of the slowest vCPU
    std::uint64_t fetches = 0, ships = 0;
};
using MakePolicy = std::function<std::unique_ptr<Policy>(const PolicySetup&)>;
Modelled model(const RecordedRun& run, const MakePolicy& make);

// What the same accounting (running, and fetches and ships at the fitted costs) gives for the run
// as it was recorded: to compare the others with.
Modelled as_recorded(const RecordedRun& run);

// For each vCPU the cheapest sequence of nodes to be on, by dynamic programming over its needs:
// what no policy can do better for one vCPU while the others do what they did, pages being where
// they were recorded. A node that was busy gives it a share of its CPUs only, and a CPU of its own
// where it had to share is a reason to go.
Modelled oracle(const RecordedRun& run);

}  // namespace vsmp::locality
