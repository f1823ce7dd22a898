// DPDK's virtio_user driver handles a peer's coming and going on EAL's interrupt thread, partly in
// alarms that it sets there, and closing the device neither waits for that thread nor takes those
// alarms back (22.11, drivers/net/virtio/virtio_user: virtio_user_dev_delayed_disconnect_handler).
// A peer that goes while the device is closed then makes that thread use what was freed, or panic
// because a descriptor that it watches is closed.
#pragma once

#include <string>

namespace vsmp::fabric {

// For a virtio_user server right before it is closed: hangs up on its peer, lets no other one in,
// and returns once the driver has taken notice and the interrupt thread has no more to do for it.
// A few milliseconds; bounded. `socket` as the driver was told it.
void hang_up(const std::string& socket);

}  // namespace vsmp::fabric
