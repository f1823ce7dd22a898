// The directory entry of a page, kept by its home: who may write it or who reads it, and whom it
// is being handed to. One transaction at a time; later requests wait as bits, served round robin
// from the last requester on, so none starves and nothing needs an unbounded queue.
#pragma once

#include "page_fault_broker/core/step.hpp"

namespace vsmp::coherence {

struct HomePage {
    std::uint64_t sharers = 0;  // bit per node that has the page; just the owner's if exclusive
    std::uint64_t waiting_readers = 0;  // bit per node whose request waits
    std::uint64_t waiting_writers = 0;
    std::uint8_t owner = 0;      // has the contents; the writer when exclusive
    std::uint8_t requester = 0;  // of the transaction under way, or of the last one
    bool exclusive = true;
    bool busy = false;

    friend bool operator==(const HomePage&, const HomePage&) = default;
};

// The entry of a page that nobody has asked for: exclusive at home.
HomePage initial_home_page(NodeId home);

struct HomeStep {
    HomePage next;
    ActionList<kMaxNodes + 2> actions;  // sends only
};

// `message` is a read_request, write_request or done that arrived from message.requester.
HomeStep step(NodeId home, const HomePage& state, const Message& message);

}  // namespace vsmp::coherence
