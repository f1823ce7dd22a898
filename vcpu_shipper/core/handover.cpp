#include "vcpu_shipper/core/handover.hpp"

namespace vsmp::shipper {
namespace {

// One step of one vCPU at one node, under way.
class Stepper {
  public:
    Stepper(NodeId self, VcpuId vcpu, const Handover& state)
        : self_(self),
          vcpu_(vcpu),
          old_(state),
          step_{.next = state, .actions = {}, .flushed = {}} {}

    Step take(const Event& event) {
        switch (event.kind) {
            case EventKind::ship_requested:
                ship_requested(event.node);
                break;
            case EventKind::captured:
                captured();
                break;
            case EventKind::capture_failed:
                capture_failed();
                break;
            case EventKind::installed:
                installed();
                break;
            case EventKind::install_failed:
                install_failed(event.message.reason);
                break;
            case EventKind::raised:
                interrupt(event.message.interrupt);
                break;
            case EventKind::message:
                message(event.node, event.message);
                break;
        }
        return step_;
    }

  private:
    bool has_vcpu() const {
        return old_.phase == Phase::here || old_.phase == Phase::leaving ||
               old_.phase == Phase::arriving;
    }
    Epoch next_epoch() const { return Epoch{old_.epoch.value() + 1}; }

    void act(ActionKind kind, NodeId to = {}, const Message& message = {}) {
        step_.actions.push({kind, to, message});
    }
    Message make(MessageKind kind, Epoch epoch) const {
        Message made;
        made.kind = kind;
        made.vcpu = vcpu_;
        made.epoch = epoch;
        return made;
    }

    void flush_stash_here() {
        if (old_.stash.empty()) return;
        act(ActionKind::deliver_stash);
        step_.flushed = old_.stash;
        step_.next.stash = {};
    }
    void flush_stash_behind(NodeId to, Epoch epoch) {
        if (old_.stash.empty()) return;
        act(ActionKind::forward_stash, to, make(MessageKind::interrupt, epoch));
        step_.flushed = old_.stash;
        step_.next.stash = {};
    }

    void ship_requested(NodeId to) {
        if (old_.phase != Phase::here || to == self_) return act(ActionKind::refuse_ship);
        step_.next.phase = Phase::leaving;
        step_.next.peer = to;
        act(ActionKind::request_capture);
    }

    void captured() {
        VSMP_CHECK(old_.phase == Phase::leaving, "captured a vCPU that was not asked for");
        step_.next.phase = Phase::sent;
        step_.next.epoch = next_epoch();
        act(ActionKind::send_state, old_.peer, make(MessageKind::ship_state, next_epoch()));
        flush_stash_behind(old_.peer, next_epoch());
    }

    void capture_failed() {
        VSMP_CHECK(old_.phase == Phase::leaving, "capture of a vCPU that was not asked for");
        step_.next.phase = Phase::here;
        step_.next.peer = self_;
        act(ActionKind::resume_here);
        flush_stash_here();
    }

    void installed() {
        VSMP_CHECK(old_.phase == Phase::arriving, "installed a vCPU that did not arrive");
        step_.next.phase = Phase::here;
        step_.next.peer = self_;
        flush_stash_here();
        act(ActionKind::send, old_.peer, make(MessageKind::ship_ack, old_.epoch));
        act(ActionKind::announce, old_.peer, make(MessageKind::location, old_.epoch));
    }

    void install_failed(NackReason reason) {
        VSMP_CHECK(old_.phase == Phase::arriving, "failed to install a vCPU that did not arrive");
        VSMP_CHECK(reason != NackReason::none, "a vCPU refused without a reason");
        step_.next.phase = Phase::away;
        step_.next.epoch = next_epoch();
        Message nack = make(MessageKind::ship_nack, old_.epoch);
        nack.reason = reason;
        act(ActionKind::send, old_.peer, nack);
        flush_stash_behind(old_.peer, next_epoch());
    }

    void interrupt(const Interrupt& interrupt) {
        switch (old_.phase) {
            case Phase::here: {
                Message local = make(MessageKind::interrupt, old_.epoch);
                local.interrupt = interrupt;
                return act(ActionKind::deliver, self_, local);
            }
            case Phase::leaving:
            case Phase::arriving:
                return step_.next.stash.add(interrupt);
            case Phase::sent:
            case Phase::away: {
                Message onward = make(MessageKind::interrupt, old_.epoch);
                onward.interrupt = interrupt;
                return act(ActionKind::send, old_.peer, onward);
            }
        }
    }

    void message(NodeId from, const Message& message) {
        switch (message.kind) {
            case MessageKind::ship_state:
                return ship_state(from, message.epoch);
            case MessageKind::ship_ack:
            case MessageKind::ship_nack:
                return answer(from, message);
            case MessageKind::location:
                return location(from, message.epoch);
            case MessageKind::interrupt: {
                // Whoever believed it to be here under this epoch, knew that from us, or sent
                // the vCPU before the interrupt: we know of that epoch, or of later ones.
                const bool known =
                    has_vcpu() ? message.epoch <= old_.epoch : message.epoch < old_.epoch;
                return known ? interrupt(message.interrupt) : act(ActionKind::violation);
            }
        }
    }

    void ship_state(NodeId from, Epoch epoch) {
        if (epoch <= old_.epoch) return;  // a duplicate
        if (has_vcpu()) return act(ActionKind::violation);
        step_.next.phase = Phase::arriving;
        step_.next.peer = from;
        step_.next.epoch = epoch;
        act(ActionKind::install);
    }

    // Only the answer to the latest ship counts: once the vCPU has been elsewhere, or is back
    // here, news of a higher epoch have made the answer needless.
    void answer(NodeId from, const Message& message) {
        if (message.epoch > old_.epoch) return act(ActionKind::violation);
        if (old_.phase != Phase::sent || message.epoch != old_.epoch || from != old_.peer) return;
        if (message.kind == MessageKind::ship_ack) {
            step_.next.phase = Phase::away;
            return;
        }
        step_.next.phase = Phase::here;
        step_.next.peer = self_;
        step_.next.epoch = next_epoch();
        act(ActionKind::resume_here);
    }

    void location(NodeId from, Epoch epoch) {
        if (epoch <= old_.epoch) return;  // we know of something newer
        if (has_vcpu()) return act(ActionKind::violation);
        step_.next.phase = Phase::away;
        step_.next.peer = from;
        step_.next.epoch = epoch;
    }

    NodeId self_;
    VcpuId vcpu_;
    const Handover& old_;
    Step step_;
};

}  // namespace

Handover initial_handover(NodeId self, NodeId at) {
    Handover state;
    state.phase = self == at ? Phase::here : Phase::away;
    state.peer = at;
    return state;
}

Step step(NodeId self, VcpuId vcpu, const Handover& state, const Event& event) {
    return Stepper{self, vcpu, state}.take(event);
}

}  // namespace vsmp::shipper
