// A recorded run through a policy again: the same one must decide the same.
#pragma once

#include "locality_ml/trace.hpp"

namespace vsmp::locality {

struct ReplayResult {
    std::uint64_t decisions = 0;  // placements included
    std::uint64_t differing = 0;
    std::optional<std::uint64_t> first_difference;  // number of the decision
};
// Tells `policy`, new and made for the header's setup, all that was recorded.
Result<ReplayResult> replay(ByteView trace, Policy& policy);

}  // namespace vsmp::locality
