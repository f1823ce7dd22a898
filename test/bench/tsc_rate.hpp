// How fast this host's time-stamp counter runs: what micro-guests tell is in its ticks.
#pragma once

#include <x86intrin.h>

#include <chrono>
#include <thread>

#include "proto/monotonic_clock.hpp"

namespace vsmp::bench {

// Over 50 ms: good to a part in a thousand, where the rates that it is for scatter by some percent.
inline double ticks_per_us() {
    const Instant begin = monotonic_now();
    const std::uint64_t from = __rdtsc();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const std::uint64_t to = __rdtsc();
    const std::chrono::duration<double, std::micro> took = monotonic_now() - begin;
    return static_cast<double>(to - from) / took.count();
}

}  // namespace vsmp::bench
