// What a protocol function returns: the next state, and what has to be done, in that order.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstddef>

#include "page_fault_broker/core/message.hpp"
#include "proto/check.hpp"

namespace vsmp::coherence {

enum class ActionKind : std::uint8_t {
    send,            // `message` to `to`, which may be the sender itself: it then takes its turn
                     // behind what was sent before. A data message says Contents::page and is sent
                     // with the page's contents as they are when the action is performed (as
                     // Contents::zero if they are all zero, as Contents::same if they are those of
                     // `message.version`, which does not travel), so revoke_* stands before it.
                     // Requests get the version of a copy that is still here
    store_contents,  // the contents that came with the event become the page's contents
    map_shared,      // vCPUs may read; wakes those that wait for the page
    map_exclusive,   // vCPUs may read and write; wakes those that wait for the page
    revoke_write,    // vCPUs may only read from now on
    revoke_all,      // no vCPU may touch the page from now on
    take_home,       // of a directory: once there is room, bring the page home as
                     // access_to_take_home() says by then
    start_hold,  // report hold_expired for this page when the hold time is over (HoldTable, told
                 // of every claimant whose fault on this page was read since it was last
                 // mapped, though it may have been woken meanwhile); at once if there is none
};

struct Action {
    ActionKind kind{};
    NodeId to;        // send
    Message message;  // send

    friend bool operator==(const Action&, const Action&) = default;
};

// A step never needs more than `Capacity` actions; more is a broken invariant. Those that are not
// there cost nothing: few steps need more than two.
template <std::size_t Capacity>
class ActionList {
  public:
    void push(const Action& action) {
        VSMP_CHECK(actions_.size() < Capacity, "a protocol step has too many actions");
        actions_.push_back(action);
    }
    const Action* begin() const { return actions_.data(); }
    const Action* end() const { return actions_.data() + actions_.size(); }
    std::size_t size() const { return actions_.size(); }
    bool empty() const { return actions_.empty(); }

  private:
    boost::container::static_vector<Action, Capacity> actions_;
};

}  // namespace vsmp::coherence
