// DPDK's vhost client looks for its server once a second, in a thread of its own that sleeps in
// between, and has no call to make it look sooner (22.11, lib/vhost/socket.c,
// vhost_user_client_reconnect). A signal ends such a sleep early.
#pragma once

#include <sys/types.h>

namespace vsmp::fabric {

// Of the calling process, one for all of its vhost clients.
class VhostReconnect {
  public:
    // Finds the thread: after a first vhost client was made. None, as in a DPDK that does it
    // otherwise: hurry() does nothing, and a server that returns is found within a second.
    static VhostReconnect find();

    // Looks now. Costs a system call here and an attempt to connect there.
    void hurry() const;
    bool found() const { return thread_ > 0; }

  private:
    explicit VhostReconnect(pid_t thread) : thread_(thread) {}
    pid_t thread_;  // 0: none
};

}  // namespace vsmp::fabric
