// Tells hosts apart: nodes that see the same value run under the same host kernel and share its
// time-stamp counter.
#pragma once

#include <cstdint>

#include "proto/result.hpp"

namespace vsmp {

Result<std::uint64_t> host_id();

}  // namespace vsmp
