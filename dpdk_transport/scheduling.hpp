// How the kernel schedules the thread that owns a node's links. On a host whose CPUs are all busy
// with guests, a thread of the default class that wakes up for a frame waits for its turn; one with
// a better claim interrupts them. docs/fabric.md has what that is worth.
#pragma once

#include <cstdint>

#include "proto/result.hpp"

namespace vsmp::fabric {

enum class Scheduling : std::uint8_t {
    automatic,  // nice where it is permitted, else normal
    normal,     // as the process was started
    nice,       // nice -10; CAP_SYS_NICE or RLIMIT_NICE
    fifo,  // SCHED_FIFO 1: before everything that is not real-time; CAP_SYS_NICE or RLIMIT_RTPRIO
};

// Of the calling thread alone; threads that it starts later get the same. An error when the class
// is not permitted (never for automatic and normal): nothing has changed then.
Result<> schedule_this_thread(Scheduling scheduling);

}  // namespace vsmp::fabric
