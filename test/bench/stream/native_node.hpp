// A node without KVM: memory, links and data plane as in the product, and any thread of the process
// in the place of a vCPU. It shows what coherence costs where the host's KVM would hide it.
#pragma once

#include <memory>

#include "dpdk_transport/port.hpp"
#include "page_fault_broker/io/broker.hpp"
#include "proto/result.hpp"

namespace vsmp::bench {

struct NativeNodeOptions {
    NodeId self;
    std::vector<std::uint64_t> pages;  // homed at each node
    std::uint64_t limit = 0;           // pages that may be resident here; 0: none
    std::uint64_t guest = 1;           // tells clusters on one port apart
    Duration hold = std::chrono::microseconds(100);
    Duration spin = std::chrono::microseconds(20);  // as of a real node
};

class NativeNode {
  public:
    virtual ~NativeNode() = default;
    static Result<std::unique_ptr<NativeNode>> start(const NativeNodeOptions& options,
                                                     std::unique_ptr<fabric::Port> port);

    // Blocks until all links are up.
    virtual Result<> wait_until_ready() = 0;
    // The guest's memory. Touched by one thread other than the data plane's.
    virtual std::span<std::byte> memory() = 0;
    // Runs on the data plane; blocks until it has run.
    virtual void with_broker(const std::function<void(Broker&)>& look) = 0;
    virtual fabric::PeerCounters traffic() = 0;
};

}  // namespace vsmp::bench
