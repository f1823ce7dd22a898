// Pictures, as SVG.
#pragma once

#include <span>
#include <string>

#include "locality_ml/bin/compare.hpp"

namespace vsmp::locality {

// Bars: for each row the time under each policy, relative to the best fixed one. Logarithmic.
std::string plot_rows(std::span<const Row> rows);
// Over time, for each vCPU: on which node it met its needs (colour), and how much of its time it
// waited (height).
std::string plot_run(const RecordedRun& run);

}  // namespace vsmp::locality
