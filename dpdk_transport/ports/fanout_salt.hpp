// A way round a clash in DPDK's af_packet driver. Internal to dpdk_transport/ports.
//
// The driver puts even a single queue into a packet fanout group whose number is
// (getpid() ^ interface index) & 0xffff. The kernel refuses a number that another process of the
// same network namespace uses for another interface, and two nodes started one after the other on
// the two ends of a veth pair easily have the same (pids 1000 and 1001 on interfaces 10 and 11).
// Neither number can be chosen, so while a salt is set getpid() answers something else to the
// calling thread.
#pragma once

#include <sys/types.h>

namespace vsmp::fabric {

class FanoutSalt {
  public:
    explicit FanoutSalt(pid_t salt);  // 0: none
    FanoutSalt(const FanoutSalt&) = delete;
    FanoutSalt& operator=(const FanoutSalt&) = delete;
    ~FanoutSalt();
};

}  // namespace vsmp::fabric
