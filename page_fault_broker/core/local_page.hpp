// One page as one node sees it: what its vCPUs may do with it, and the one request it may have
// under way. Every node, home included, has a LocalPage for every page.
#pragma once

#include "page_fault_broker/core/step.hpp"

namespace vsmp::coherence {

enum class Permission : std::uint8_t { none, shared, exclusive };
enum class Request : std::uint8_t { none, read, write };
// What somebody else asked of a page that is being held; served when the hold is over. One is
// enough: home serves one transaction per page at a time, that transaction asks a node for one
// thing, and ends only after the answer.
enum class Deferred : std::uint8_t { none, forward_read, forward_write, invalidate };

struct LocalPage {
    Permission permission = Permission::none;
    Request request = Request::none;
    // Shared, and home has no copy: others get theirs from here, so it may not be dropped.
    bool source = false;
    bool releasing = false;  // home was asked to relieve this node of the page
    bool granted = false;    // data or grant is here, acks still missing
    bool held = false;       // obtained a moment ago: its vCPU shall get a turn
    Deferred deferred = Deferred::none;
    std::uint8_t deferred_requester = 0;
    std::uint8_t deferred_acks = 0;
    Version deferred_version = 0;
    std::int16_t acks_missing = 0;  // below zero while acks overtook the grant

    friend bool operator==(const LocalPage&, const LocalPage&) = default;
};

enum class LocalEventKind : std::uint8_t {
    fault,         // a vCPU (or a device) of this node wants `access`
    message,       // forward_*, invalidate*, *_data, upgrade_grant or release_refused arrived
    hold_expired,  // answer to start_hold
    evict,         // the memory is wanted for something else
};

struct LocalEvent {
    LocalEventKind kind{};
    Access access = Access::read;  // fault
    Message message;               // message
};

struct LocalStep {
    LocalPage next;
    ActionList<6> actions;
};

// A page that nobody has asked for: exclusive at home, not here anywhere else.
LocalPage initial_local_page(NodeId self, NodeId home);

// While a page is held, what would take a permission from it waits for hold_expired; a reader
// elsewhere takes nothing from a shared page. hold_expired may come for a page that is not held any
// more; it then does nothing.
//
// A copy that home has as well is dropped by evict at once, and nobody is told: the directory goes
// on believing in it, at worst it is invalidated in vain. Of what home has not, evict asks home to
// take it; that ends like any other's request for the page. While a page is held or asked for, and
// at home, where pages rest, evict does nothing.
//
// Faults may be spurious (the page came while the fault was in flight): the answer is then to map
// what is already permitted. Messages that the protocol cannot produce in this state are broken
// invariants: links are reliable, ordered and checked, and the decoder has seen the message.
LocalStep step(NodeId self, NodeId home, PageNumber page, const LocalPage& state,
               const LocalEvent& event);

}  // namespace vsmp::coherence
