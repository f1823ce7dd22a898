// Time as pure code sees it: a value that somebody else read from a clock.
#pragma once

#include <chrono>

namespace vsmp {

// CLOCK_MONOTONIC of the host. It has no now(): only monotonic_clock.hpp's callers (I/O layers)
// read the clock, everything else is told.
struct MonotonicTag {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<MonotonicTag>;
    static constexpr bool is_steady = true;
};
using Duration = MonotonicTag::duration;
using Instant = MonotonicTag::time_point;

}  // namespace vsmp
