// A node's end of the fabric, as its configuration describes it.
#pragma once

#include <memory>

#include "dpdk_transport/fabric.hpp"
#include "vmm/node/node.hpp"

namespace vsmp {

// Starts DPDK, opens this node's ports and makes a fabric of them. Null for a guest of one node.
// Blocks while the port does (a vhost-user server waits for its client).
Result<std::unique_ptr<fabric::Fabric>> open_links(const NodeSetup& setup);

}  // namespace vsmp
