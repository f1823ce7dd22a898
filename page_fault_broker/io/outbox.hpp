// Coherence messages on their way out, put together to bundles: as many to one node in a row as fit
// a message of the fabric, two pages of contents among them. Order to each node is kept.
//
// Owned by the data-plane thread.
#pragma once

#include <span>

#include "dpdk_transport/fabric.hpp"
#include "page_fault_broker/core/message.hpp"

namespace vsmp {

class Outbox {
  public:
    // `contents` is empty or a page, and read before the call returns.
    void push(fabric::Fabric& fabric, NodeId to, const coherence::Message& message,
              ByteView contents);
    // Nothing waits here after it.
    void flush(fabric::Fabric& fabric);

  private:
    NodeId to_;
    std::size_t size_ = 0;
    std::span<std::byte>
        bytes_;  // of the message under construction, where the fabric sends it from
};

}  // namespace vsmp
