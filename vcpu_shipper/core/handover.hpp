// Moving one vCPU between nodes: who has it, who may run it, where its interrupts go. Every node
// keeps a Handover for every vCPU; step() is the whole protocol, the node performs the actions.
//
//       ship_requested       captured             ship_ack
//   here ───────────▶ leaving ────────▶ sent ──────────────▶ away ◀─── location (newer)
//    ▲ ▲                │ capture_failed  │ ship_nack           │
//    │ └────────────────┴─────────────────┘                     │ ship_state
//    └──────────────── installed ──── arriving ◀────────────────┘  (also from sent)
//                                        └─ install_failed ──▶ away (at the source again)
//
// Why a vCPU never runs twice: only `here` and `leaving` let it run (until captured), and a
// ship_state is the one thing that passes that right on; whoever sends it, gives it up first.
// Why no interrupt is lost: a node that lets a vCPU go sends the interrupts that still come behind
// the ship_state on the same ordered link, and everybody else learns a new place from the node
// that has the vCPU already. So an interrupt finds the vCPU, or a node that has sent it on.
// Why none goes in circles: an interrupt carries the epoch of the belief that routed it, and a
// node that no longer has the vCPU believes something of a higher epoch, along which it forwards.
//
// Pure; owned by the data-plane thread.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "proto/check.hpp"
#include "proto/ids.hpp"
#include "vcpu_shipper/core/message.hpp"

namespace vsmp::shipper {

enum class Phase : std::uint8_t {
    here,      // runs on this node
    leaving,   // still here, its thread was asked for its state; interrupts wait in the stash
    sent,      // state sent to `peer`, no answer yet; interrupts follow it
    arriving,  // state came from `peer`, is being loaded; interrupts wait in the stash
    away,      // somewhere else, last known on `peer`
};

struct Handover {
    Phase phase = Phase::away;
    NodeId peer;  // leaving, sent: where to; arriving: where from; away: where it is believed to be
    Epoch epoch;  // of this node's possession, or of the belief that `peer` has it
    InterruptStash stash;

    friend bool operator==(const Handover&, const Handover&) = default;
};

// At the start of the guest the vCPU is on node `at`, under epoch 0.
Handover initial_handover(NodeId self, NodeId at);

enum class EventKind : std::uint8_t {
    ship_requested,  // somebody wants the vCPU to go to `node`
    captured,        // answer to request_capture: stopped, and its state is in hand
    capture_failed,  // the other answer: stopped, but it cannot leave now
    installed,       // answer to install: state loaded, the vCPU runs here
    install_failed,  // the other answer: it did not run and will not (`message.reason` says why)
    raised,          // `message.interrupt` for this vCPU was raised on this node
    message,         // `message` came from `node`
};

struct Event {
    EventKind kind{};
    NodeId node;      // ship_requested, message
    Message message;  // message; raised: interrupt only; install_failed: reason only
};

enum class ActionKind : std::uint8_t {
    request_capture,  // stop the vCPU and read its state; report captured or capture_failed
    send_state,       // `message` to `to`, followed by the encoded state
    send,             // `message` to `to`
    announce,         // `message` to every other node but `to`
    install,          // load the state that came with the event and run the vCPU if that succeeds;
                      // report installed or install_failed
    resume_here,      // the vCPU, stopped for capture, runs on as it was
    deliver,          // `message.interrupt` to the vCPU's local APIC; must reach the vCPU's thread
                      // before a request_capture that comes later
    deliver_stash,    // the same for all of `flushed`
    forward_stash,    // all of `flushed` to `to`: `message` with each one's interrupt
    refuse_ship,      // answer to ship_requested: it is not here, or it is on its way already
    violation,        // a peer sent what the protocol forbids: end the guest with an error
};

struct Action {
    ActionKind kind{};
    NodeId to;
    Message message;

    friend bool operator==(const Action&, const Action&) = default;
};

// What to do, in that order.
class ActionList {
  public:
    void push(const Action& action) {
        VSMP_CHECK(size_ < actions_.size(), "a hand-over step has too many actions");
        actions_[size_++] = action;
    }
    const Action* begin() const { return actions_.data(); }
    const Action* end() const { return actions_.data() + size_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }

  private:
    std::array<Action, 4> actions_{};
    std::size_t size_ = 0;
};

struct Step {
    Handover next;
    ActionList actions;
    InterruptStash flushed;  // what deliver_stash or forward_stash is about
};

// A peer's messages may be stale, and are then ignored; `violation` is for impossible ones.
// Events that only this node itself makes (captured...) abort where they cannot occur.
Step step(NodeId self, VcpuId vcpu, const Handover& state, const Event& event);

}  // namespace vsmp::shipper
