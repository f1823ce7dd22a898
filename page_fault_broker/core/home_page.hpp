// The directory entry of a page, kept by its home: who may write it or who reads it, and whom it
// is being handed to. One transaction at a time; later requests wait as bits, served round robin
// from the last requester on, so none starves and nothing needs an unbounded queue.
#pragma once

#include <optional>

#include "page_fault_broker/core/step.hpp"

namespace vsmp::coherence {

struct HomePage {
    // Bit per node that has the page; just the owner's if exclusive. A sharer other than home and
    // the owner may have dropped its copy without telling.
    std::uint64_t sharers = 0;
    std::uint64_t waiting_readers = 0;  // bit per node whose request waits
    std::uint64_t waiting_writers = 0;
    std::uint64_t waiting_upgrades = 0;  // of those, who had the contents when it asked
    std::uint8_t owner = 0;  // the writer when exclusive; else has the contents unless home does
    std::uint8_t requester = 0;  // of the transaction under way, or of the last one
    bool exclusive = true;
    bool busy = false;

    friend bool operator==(const HomePage&, const HomePage&) = default;
};

// The entry of a page that nobody has asked for: exclusive at home.
HomePage initial_home_page(NodeId home);

struct HomeStep {
    HomePage next;
    ActionList<kMaxNodes + 2> actions;  // sends and take_home only
};

// `message` is a *_request, release or done that arrived from message.requester.
HomeStep step(NodeId home, const HomePage& state, const Message& message);

// What home has to ask for to relieve the owner of a page that it released: to write, if nobody
// else has it, so that it is exclusive at home again. None if the page has come home meanwhile or
// is being moved; whoever released it hears of that move then.
std::optional<Access> access_to_take_home(NodeId home, const HomePage& page);

// Whether a message is for the directory of the page's home, not for a node's own page.
bool is_for_home(MessageKind kind);

}  // namespace vsmp::coherence
