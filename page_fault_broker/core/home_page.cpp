#include "page_fault_broker/core/home_page.hpp"

#include <bit>

namespace vsmp::coherence {
namespace {

constexpr std::uint64_t bit(std::uint8_t node) {
    return std::uint64_t{1} << node;
}
constexpr std::uint64_t bit(NodeId node) {
    return bit(node.value());
}

void send(HomeStep& out, MessageKind kind, PageNumber page, NodeId requester, std::uint8_t to,
          int acks = 0) {
    out.actions.push({.kind = ActionKind::send,
                      .to = NodeId{to},
                      .message = {.kind = kind,
                                  .page = page,
                                  .requester = requester,
                                  .acks = static_cast<std::uint8_t>(acks)}});
}

// Whose copy a requester gets: home's own if it has one, which saves a hop.
std::uint8_t source(NodeId home, const HomePage& page) {
    if (!page.exclusive && (page.sharers & bit(home))) return home.value();
    return page.owner;
}

void serve_read(NodeId home, PageNumber page, NodeId requester, HomeStep& out) {
    HomePage& next = out.next;
    VSMP_CHECK(!(next.sharers & bit(requester)), "a node asks to read what it has");
    send(out, MessageKind::forward_read, page, requester, source(home, next));
    next.sharers |= bit(requester);
    next.exclusive = false;
}

void serve_write(NodeId home, PageNumber page, NodeId requester, HomeStep& out) {
    HomePage& next = out.next;
    VSMP_CHECK(!next.exclusive || next.owner != requester.value(),
               "a node asks to write what it may write");
    // Whoever provides the page gives up its own copy with it and needs no ack of its own.
    const bool upgrade = (next.sharers & bit(requester)) != 0;
    const std::uint8_t provider = upgrade ? requester.value() : source(home, next);
    const std::uint64_t others = next.sharers & ~bit(provider);
    send(out, upgrade ? MessageKind::upgrade_grant : MessageKind::forward_write, page, requester,
         provider, std::popcount(others));
    for (std::uint64_t left = others; left != 0; left &= left - 1)
        send(out, MessageKind::invalidate, page, requester,
             static_cast<std::uint8_t>(std::countr_zero(left)));
    next.sharers = bit(requester);
    next.owner = requester.value();
    next.exclusive = true;
}

// The first node with a request after the last requester, going round.
std::uint8_t next_requester(const HomePage& page) {
    const std::uint64_t waiting = page.waiting_readers | page.waiting_writers;
    const int first = (page.requester + 1) % static_cast<int>(kMaxNodes);
    return static_cast<std::uint8_t>((first + std::countr_zero(std::rotr(waiting, first))) %
                                     static_cast<int>(kMaxNodes));
}

void serve_next(NodeId home, PageNumber page, HomeStep& out) {
    HomePage& next = out.next;
    if (next.busy || (next.waiting_readers | next.waiting_writers) == 0) return;
    const NodeId requester{next_requester(next)};
    next.busy = true;
    next.requester = requester.value();
    if (next.waiting_readers & bit(requester)) {
        next.waiting_readers &= ~bit(requester);
        serve_read(home, page, requester, out);
    } else {
        next.waiting_writers &= ~bit(requester);
        serve_write(home, page, requester, out);
    }
}

void enqueue(std::uint64_t& queue, const Message& message, HomePage& next) {
    VSMP_CHECK(!((next.waiting_readers | next.waiting_writers) & bit(message.requester)),
               "a node has two requests for one page");
    VSMP_CHECK(!next.busy || next.requester != message.requester.value(),
               "a node asks again before it is done");
    queue |= bit(message.requester);
}

void finish(const Message& message, HomePage& next) {
    VSMP_CHECK(next.busy && next.requester == message.requester.value(),
               "done from a node that was not being served");
    next.busy = false;
}

}  // namespace

HomePage initial_home_page(NodeId home) {
    return {.sharers = bit(home), .owner = home.value(), .requester = home.value()};
}

HomeStep step(NodeId home, const HomePage& state, const Message& message) {
    HomeStep out{.next = state, .actions = {}};
    switch (message.kind) {
        case MessageKind::read_request:
            enqueue(out.next.waiting_readers, message, out.next);
            break;
        case MessageKind::write_request:
            enqueue(out.next.waiting_writers, message, out.next);
            break;
        case MessageKind::done:
            finish(message, out.next);
            break;
        case MessageKind::forward_read:
        case MessageKind::forward_write:
        case MessageKind::invalidate:
        case MessageKind::invalidate_ack:
        case MessageKind::shared_data:
        case MessageKind::exclusive_data:
        case MessageKind::upgrade_grant:
            VSMP_CHECK(false, "a message for a node's own page came to its directory");
    }
    serve_next(home, message.page, out);
    return out;
}

}  // namespace vsmp::coherence
