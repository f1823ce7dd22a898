// How the host's scheduler should treat a node's threads.
#pragma once

namespace vsmp {

// The calling thread, and those it creates from now on, wants to run soon rather than long: a fault
// is answered by several threads in turn, each of which has little to do. Linux 6.12 and later then
// let it preempt others sooner (sched_setattr(2): sched_runtime of SCHED_OTHER is the slice);
// older ones ignore it. Nothing depends on it.
void ask_for_short_slices();

}  // namespace vsmp
