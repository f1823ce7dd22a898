// A policy's explanation, as the control plane shows it.
#pragma once

#include "locality_ml/policy.hpp"
#include "vmm/node/node.hpp"

namespace vsmp {

PolicyDecision to_decision(const locality::Explanation& explanation, Instant now);

}  // namespace vsmp
