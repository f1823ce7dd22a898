// The one place that reads the clock. Never include this from a core/ directory.
#pragma once

#include "proto/time.hpp"

namespace vsmp {

inline Instant monotonic_now() {
    return Instant{
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

}  // namespace vsmp
