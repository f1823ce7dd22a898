#include "page_fault_broker/core/local_page.hpp"

namespace vsmp::coherence {
namespace {

// One step being made; its methods are what the protocol can do to a page.
class Stepper {
  public:
    // `out`: in the state before the step.
    Stepper(NodeId self, NodeId home, PageNumber page, LocalStep& out)
        : self_(self), home_(home), page_(page), out_(out) {}

    void fault(Access access);
    void message(const Message& message);
    void hold_expired();
    void evict();

  private:
    void asked(Deferred what, const Message& message);
    void serve(Deferred what, const Message& message);
    void lose();
    void serve_deferred();
    void granted_shared();
    void granted_exclusive(std::uint8_t acks, bool with_contents);
    void acknowledged();
    void finish_write_if_complete();
    void finish(Permission permission);
    bool hold_protects(Deferred what) const;

    void act(ActionKind kind) { out_.actions.push({.kind = kind, .to = {}, .message = {}}); }
    void map() {
        act(page().permission == Permission::exclusive ? ActionKind::map_exclusive
                                                       : ActionKind::map_shared);
    }
    void send(MessageKind kind, NodeId to, NodeId requester);
    void answer(MessageKind kind, const Message& asked);
    LocalPage& page() { return out_.next; }
    const LocalPage& page() const { return out_.next; }

    NodeId self_;
    NodeId home_;
    PageNumber page_;
    LocalStep& out_;
};

void Stepper::send(MessageKind kind, NodeId to, NodeId requester) {
    out_.actions.push({.kind = ActionKind::send,
                       .to = to,
                       .message = {.kind = kind, .page = page_, .requester = requester}});
}

// The contents, for whoever asked, or the word that it is done.
void Stepper::answer(MessageKind kind, const Message& asked) {
    const bool ack = kind == MessageKind::invalidate_ack;
    out_.actions.push({.kind = ActionKind::send,
                       .to = asked.requester,
                       .message = {.kind = kind,
                                   .page = page_,
                                   .requester = asked.requester,
                                   .acks = asked.acks,
                                   .contents = ack ? Contents::none : Contents::page,
                                   .version = asked.version,
                                   .waited = asked.waited}});
}

void Stepper::fault(Access access) {
    const bool permitted = page().permission == Permission::exclusive ||
                           (page().permission == Permission::shared && access == Access::read);
    if (permitted) return map();
    // The answer to a request under way wakes this vCPU too; should it have got less than it
    // needs, it faults again.
    if (page().request != Request::none) return;
    page().request = access == Access::read ? Request::read : Request::write;
    if (access == Access::read) return send(MessageKind::read_request, home_, self_);
    send(page().permission == Permission::shared ? MessageKind::upgrade_request
                                                 : MessageKind::write_request,
         home_, self_);
}

void Stepper::message(const Message& message) {
    switch (message.kind) {
        case MessageKind::forward_read:
            return asked(Deferred::forward_read, message);
        case MessageKind::forward_write:
            return asked(Deferred::forward_write, message);
        case MessageKind::invalidate:
            return asked(Deferred::invalidate, message);
        case MessageKind::invalidate_ack:
            return acknowledged();
        case MessageKind::shared_data:
            return granted_shared();
        case MessageKind::exclusive_data:
            VSMP_CHECK(page().permission == Permission::none, "contents for a page that is here");
            return granted_exclusive(message.acks, true);
        case MessageKind::upgrade_grant:
            VSMP_CHECK(page().permission == Permission::shared, "upgrade of a page not shared");
            return granted_exclusive(message.acks, false);
        case MessageKind::release_refused:
            page().releasing = false;
            return;
        case MessageKind::read_request:
        case MessageKind::write_request:
        case MessageKind::upgrade_request:
        case MessageKind::release:
        case MessageKind::done:
            VSMP_CHECK(false, "a message for a directory came to a node's own page");
    }
}

bool Stepper::hold_protects(Deferred what) const {
    return page().held &&
           !(what == Deferred::forward_read && page().permission == Permission::shared);
}

void Stepper::asked(Deferred what, const Message& message) {
    VSMP_CHECK(page().deferred == Deferred::none, "home serves two requests for a page at once");
    if (hold_protects(what)) {
        page().deferred = what;
        page().deferred_requester = message.requester.value();
        page().deferred_acks = message.acks;
        page().deferred_version = message.version;
        return;
    }
    serve(what, message);
}

void Stepper::serve_deferred() {
    const Deferred what = page().deferred;
    const Message message{.page = page_,
                          .requester = NodeId{page().deferred_requester},
                          .acks = page().deferred_acks,
                          .version = page().deferred_version,
                          .waited = true};
    page().deferred = Deferred::none;
    page().deferred_requester = 0;
    page().deferred_acks = 0;
    page().deferred_version = 0;
    serve(what, message);
}

void Stepper::lose() {
    act(ActionKind::revoke_all);
    page().permission = Permission::none;
    page().source = false;
}

void Stepper::serve(Deferred what, const Message& message) {
    // Whatever home wanted of this page, it knows by now that this node has it no more, or has it
    // still.
    if (what != Deferred::none) page().releasing = false;
    switch (what) {
        case Deferred::none:
            return;
        case Deferred::forward_read:
            VSMP_CHECK(page().permission != Permission::none, "asked for a page that is not here");
            if (page().permission == Permission::exclusive) {
                act(ActionKind::revoke_write);
                page().permission = Permission::shared;
                page().source = self_ != home_;
            }
            if (message.requester == home_) page().source = false;
            return answer(MessageKind::shared_data, message);
        case Deferred::forward_write:
            VSMP_CHECK(page().permission != Permission::none, "asked for a page that is not here");
            lose();
            return answer(MessageKind::exclusive_data, message);
        case Deferred::invalidate:
            VSMP_CHECK(page().permission != Permission::exclusive,
                       "invalidation of an unshared page");
            if (page().permission == Permission::shared) lose();
            return answer(MessageKind::invalidate_ack, message);
    }
}

void Stepper::evict() {
    LocalPage& p = page();
    if (p.permission == Permission::none || p.request != Request::none || p.held || p.releasing ||
        self_ == home_)
        return;
    if (p.permission == Permission::shared && !p.source) return lose();
    p.releasing = true;
    send(MessageKind::release, home_, self_);
}

void Stepper::granted_shared() {
    VSMP_CHECK(page().request == Request::read && page().permission == Permission::none,
               "contents to read that were not asked for");
    act(ActionKind::store_contents);
    finish(Permission::shared);
}

void Stepper::granted_exclusive(std::uint8_t acks, bool with_contents) {
    VSMP_CHECK(page().request == Request::write && !page().granted,
               "a grant to write that was not asked for");
    if (with_contents) act(ActionKind::store_contents);
    page().granted = true;
    page().acks_missing = static_cast<std::int16_t>(page().acks_missing + acks);
    finish_write_if_complete();
}

void Stepper::acknowledged() {
    VSMP_CHECK(page().request == Request::write, "an ack for nothing");
    page().acks_missing = static_cast<std::int16_t>(page().acks_missing - 1);
    VSMP_CHECK(!page().granted || page().acks_missing >= 0, "an ack too many");
    finish_write_if_complete();
}

void Stepper::finish_write_if_complete() {
    if (!page().granted || page().acks_missing != 0) return;
    page().granted = false;
    finish(Permission::exclusive);
}

void Stepper::finish(Permission permission) {
    page().permission = permission;
    page().source = false;
    page().releasing = false;
    page().request = Request::none;
    page().held = true;
    map();
    act(ActionKind::start_hold);
    send(MessageKind::done, home_, self_);
}

void Stepper::hold_expired() {
    if (!page().held) return;
    page().held = false;
    serve_deferred();
}

}  // namespace

LocalPage initial_local_page(NodeId self, NodeId home) {
    return {.permission = self == home ? Permission::exclusive : Permission::none};
}

LocalStep step(NodeId self, NodeId home, PageNumber page, const LocalPage& state,
               const LocalEvent& event) {
    LocalStep out{.next = state, .actions = {}};
    Stepper stepper{self, home, page, out};
    switch (event.kind) {
        case LocalEventKind::fault:
            stepper.fault(event.access);
            break;
        case LocalEventKind::message:
            stepper.message(event.message);
            break;
        case LocalEventKind::hold_expired:
            stepper.hold_expired();
            break;
        case LocalEventKind::evict:
            stepper.evict();
            break;
    }
    return out;
}

}  // namespace vsmp::coherence
