// Ports of one process, joined by a segment in memory: for tests. Deterministic; safe to use from
// one thread per port.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "dpdk_transport/port.hpp"

namespace vsmp::fabric {

struct MemorySegmentOptions {
    std::size_t mtu = 9000;
    std::size_t depth = 512;  // frames waiting at one port; more are dropped, like a NIC's ring
    // How many copies of this frame reach one receiver: 0 loses it. Called in the sender's thread,
    // one call at a time.
    std::function<std::size_t(ByteView frame)> copies = {};
};

// `count` ports on one shared segment: each frame reaches the port it is addressed to, or all
// others when it is broadcast.
std::vector<std::unique_ptr<Port>> make_memory_segment(std::size_t count,
                                                       MemorySegmentOptions options = {});

}  // namespace vsmp::fabric
