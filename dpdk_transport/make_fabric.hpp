// Puts a Fabric together from ports.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/frame_sealer.hpp"
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
    std::uint32_t cluster = 0;      // frames of any other are dropped
    // A checksum costs about 0.2 us per page and end, and is for wires that damage frames and do
    // not tell. The same on all nodes of a guest.
    Integrity integrity = Integrity::none;
    // Data frames that all peers together may have on their way here: must fit the receive ring
    // of a port that reaches them all, with room for acknowledgements and repetitions.
    std::size_t receive_capacity = 384;
    LinkTiming timing;
};

// A random value for FabricOptions::incarnation.
std::uint32_t random_incarnation();

// One port may reach several peers, and a peer may be reached over several ports, which then share
// its traffic and stand in for each other: where it is reached is learned from its hello frames
// (sent to the broadcast address on each port until it answers there). The ports belong to the
// fabric from here on. An error for options that make no sense and for a port whose MTU is smaller
// than kSmallestMtu. Messages may be sent before a peer is up: they wait. With a sealer each frame
// is sealed, and what is not is dropped.
Result<std::unique_ptr<Fabric>> make_fabric(const FabricOptions& options,
                                            std::vector<std::unique_ptr<Port>> ports,
                                            std::unique_ptr<FrameSealer> sealer = nullptr);

}  // namespace vsmp::fabric
