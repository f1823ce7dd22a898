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

// Whom a transaction is for, and what it said when it asked.
struct Request {
    PageNumber page;
    NodeId from;
    Version version = 0;
    bool upgrade = false;
    bool waited = false;
};

void send(HomeStep& out, MessageKind kind, const Request& request, std::uint8_t to, int acks = 0) {
    const bool forward = kind == MessageKind::forward_read || kind == MessageKind::forward_write;
    const bool first = forward || kind == MessageKind::upgrade_grant;
    out.actions.push({.kind = ActionKind::send,
                      .to = NodeId{to},
                      .message = {.kind = kind,
                                  .page = request.page,
                                  .requester = request.from,
                                  .acks = static_cast<std::uint8_t>(acks),
                                  .version = forward ? request.version : 0,
                                  .waited = first && request.waited}});
}

// Whose copy a requester gets: home's own if it has one, which saves a hop.
std::uint8_t source(NodeId home, const HomePage& page) {
    if (!page.exclusive && (page.sharers & bit(home))) return home.value();
    return page.owner;
}

void serve_read(NodeId home, const Request& request, HomeStep& out) {
    HomePage& next = out.next;
    const std::uint8_t provider = source(home, next);
    VSMP_CHECK(provider != request.from.value(), "a node asks to read what it has");
    send(out, MessageKind::forward_read, request, provider);
    next.sharers |= bit(request.from);
    next.exclusive = false;
}

void serve_write(NodeId home, const Request& request, HomeStep& out) {
    HomePage& next = out.next;
    VSMP_CHECK(!next.exclusive || next.owner != request.from.value(),
               "a node asks to write what it may write");
    // Who asked for an upgrade has its copy still if nobody wrote meanwhile. Of who did not, the
    // directory may believe so in vain.
    const bool upgrade = request.upgrade && (next.sharers & bit(request.from)) != 0;
    const std::uint8_t provider = upgrade ? request.from.value() : source(home, next);
    VSMP_CHECK(upgrade || provider != request.from.value(), "a node has lost its copy");
    // Whoever provides the page gives up its own copy with it and needs no ack of its own.
    const std::uint64_t others = next.sharers & ~bit(NodeId{provider}) & ~bit(request.from);
    send(out, upgrade ? MessageKind::upgrade_grant : MessageKind::forward_write, request, provider,
         std::popcount(others));
    for (std::uint64_t left = others; left != 0; left &= left - 1)
        send(out, MessageKind::invalidate, request,
             static_cast<std::uint8_t>(std::countr_zero(left)));
    next.sharers = bit(request.from);
    next.owner = request.from.value();
    next.exclusive = true;
}

// The first node with a request after the last requester, going round.
std::uint8_t next_requester(const HomePage& page) {
    const std::uint64_t waiting = page.waiting_readers | page.waiting_writers;
    const int first = (page.requester + 1) % static_cast<int>(kMaxNodes);
    return static_cast<std::uint8_t>((first + std::countr_zero(std::rotr(waiting, first))) %
                                     static_cast<int>(kMaxNodes));
}

// `message` is what arrived; only a request that need not wait keeps its version, the entry has no
// place for one.
void serve_next(NodeId home, const Message& message, HomeStep& out) {
    HomePage& next = out.next;
    if (next.busy || (next.waiting_readers | next.waiting_writers) == 0) return;
    const NodeId requester{next_requester(next)};
    const std::uint64_t mask = bit(requester);
    const Request request{.page = message.page,
                          .from = requester,
                          .version = message.requester == requester ? message.version : 0,
                          .upgrade = (next.waiting_upgrades & mask) != 0,
                          .waited = message.requester != requester};
    next.busy = true;
    next.requester = requester.value();
    const bool reads = (next.waiting_readers & mask) != 0;
    next.waiting_readers &= ~mask;
    next.waiting_writers &= ~mask;
    next.waiting_upgrades &= ~mask;
    if (reads)
        serve_read(home, request, out);
    else
        serve_write(home, request, out);
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

void release(NodeId home, const Message& message, HomeStep& out) {
    VSMP_CHECK(message.requester != home, "home cannot be relieved of its own page");
    const bool needed = out.next.owner == message.requester.value() &&
                        access_to_take_home(home, out.next).has_value();
    if (needed)
        out.actions.push({.kind = ActionKind::take_home, .to = {}, .message = {}});
    else
        send(out, MessageKind::release_refused, {.page = message.page, .from = message.requester},
             message.requester.value());
}

}  // namespace

HomePage initial_home_page(NodeId home) {
    return {.sharers = bit(home), .owner = home.value(), .requester = home.value()};
}

bool is_for_home(MessageKind kind) {
    switch (kind) {
        case MessageKind::read_request:
        case MessageKind::write_request:
        case MessageKind::upgrade_request:
        case MessageKind::release:
        case MessageKind::done:
            return true;
        case MessageKind::forward_read:
        case MessageKind::forward_write:
        case MessageKind::invalidate:
        case MessageKind::invalidate_ack:
        case MessageKind::shared_data:
        case MessageKind::exclusive_data:
        case MessageKind::upgrade_grant:
        case MessageKind::release_refused:
            return false;
    }
    VSMP_CHECK(false, "message kind out of range");
}

std::optional<Access> access_to_take_home(NodeId home, const HomePage& page) {
    if (page.busy || (page.sharers & bit(home)) != 0) return std::nullopt;
    return page.sharers == bit(page.owner) ? Access::write : Access::read;
}

HomeStep step(NodeId home, const HomePage& state, const Message& message) {
    HomeStep out{.next = state, .actions = {}};
    switch (message.kind) {
        case MessageKind::read_request:
            enqueue(out.next.waiting_readers, message, out.next);
            break;
        case MessageKind::upgrade_request:
            enqueue(out.next.waiting_writers, message, out.next);
            out.next.waiting_upgrades |= bit(message.requester);
            break;
        case MessageKind::write_request:
            enqueue(out.next.waiting_writers, message, out.next);
            break;
        case MessageKind::done:
            finish(message, out.next);
            break;
        case MessageKind::release:
            release(home, message, out);
            return out;
        case MessageKind::forward_read:
        case MessageKind::forward_write:
        case MessageKind::invalidate:
        case MessageKind::invalidate_ack:
        case MessageKind::shared_data:
        case MessageKind::exclusive_data:
        case MessageKind::upgrade_grant:
        case MessageKind::release_refused:
            VSMP_CHECK(false, "a message for a node's own page came to its directory");
    }
    serve_next(home, message, out);
    return out;
}

}  // namespace vsmp::coherence
