// Puts a Fabric together from ports.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dpdk_transport/core/link_timing.hpp"
#include "dpdk_transport/fabric.hpp"
#include "dpdk_transport/port.hpp"

namespace vsmp::fabric {

struct FabricOptions {
    NodeId self;
    std::size_t node_count = 0;     // 2..kMaxNodes; peers are all others below it
    std::uint64_t guest = 0;        // incarnation of the guest: frames of any other are dropped
    std::uint32_t incarnation = 0;  // differs for each start of this node, never 0
    std::uint16_t vlan = 0;         // 802.1Q tag of every frame, 1..4094; 0: untagged
    LinkTiming timing;
};

// A random value for FabricOptions::incarnation.
std::uint32_t random_incarnation();

// One port may reach several peers, and several ports one each: where a peer is reached is learned
// from its hello frames (sent to the broadcast address on every port until it is known). The ports
// belong to the fabric from here on. An error for options that make no sense and for a port whose
// MTU is too small for kMaxPayload. Messages may be sent before a peer is up: they wait.
Result<std::unique_ptr<Fabric>> make_fabric(const FabricOptions& options,
                                            std::vector<std::unique_ptr<Port>> ports);

}  // namespace vsmp::fabric
