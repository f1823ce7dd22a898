// The node's side of the control connection: does what vsmp-run asks, with one Node.
#pragma once

#include <functional>
#include <memory>

#include "proto/result.hpp"
#include "vmm/control/stream.hpp"
#include "vmm/node/node.hpp"

namespace vsmp::control {

// What the client needs from the rest of the program; main passes the real ones, tests fakes.
struct NodeServices {
    std::function<Result<NodeFacts>()> facts;
    std::function<Result<std::unique_ptr<Node>>(NodeSetup, NodeObserver&)> create;
    std::uint32_t protocol_version = kProtocolVersion;
};

enum class NodeExit : unsigned char {
    stopped,   // vsmp-run said stop
    orphaned,  // the connection to vsmp-run was lost
    failed,    // said so to vsmp-run (or could not)
};

// Serves one guest over `socket` on the calling thread, and returns when it is over. The node's
// own threads hand their news to that thread.
NodeExit serve_node(StreamSocket socket, asio::io_context& io, const NodeServices& services);

}  // namespace vsmp::control
