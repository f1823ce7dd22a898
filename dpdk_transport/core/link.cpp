#include "dpdk_transport/core/link.hpp"

#include <algorithm>

namespace vsmp::fabric {
namespace {

// While data streams in and none goes back: often enough for the peer's window, seldom enough
// to cost nothing.
constexpr std::size_t kAckEvery = 16;
// A link on which nothing moved needs this many unanswered retransmissions to be lost, so that a
// node that was itself stopped for long does not blame its peer.
constexpr std::size_t kTimeoutsToLose = 4;
// Silence beyond which the peer is lost though it is heard: what it needs does not get through.
constexpr int kStuckFactor = 4;

std::string seconds(Duration duration) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    if (ms % 1000 == 0) return std::to_string(ms / 1000) + " s";
    return std::to_string(ms) + " ms";
}

}  // namespace

Link::Link(const LinkIdentity& identity, const LinkTiming& timing)
    : identity_(identity), timing_(timing), send_(timing), receive_(timing.window) {
    VSMP_CHECK(identity.incarnation != LinkIncarnation{}, "incarnation 0 means unknown");
}

std::string Link::peer_name() const {
    return "node " + std::to_string(identity_.peer.value());
}

void Link::lose(std::string why) {
    state_ = PeerState::lost;
    problem_ = std::move(why);
    send_.clear();
    hello_due_ = welcome_due_ = ack_now_ = false;
    owed_ = 0;
}

void Link::send(Channel channel, ByteView head, ByteView body) {
    VSMP_CHECK(head.size() + body.size() <= kMaxPayload, "message larger than a frame");
    if (state_ == PeerState::lost) return;
    if (!send_.push(channel, head, body)) {
        lose(peer_name() + " takes no messages: " + std::to_string(timing_.queue_limit) +
             " are waiting for it");
        return;
    }
    ++counters_.messages_sent;
}

void Link::adopt(LinkIncarnation peer, Instant now) {
    peer_ = peer;
    heard_at_ = now;
}

void Link::receive_foreign(std::uint8_t version) {
    ++counters_.rejected;
    if (state_ != PeerState::connecting) return;
    lose(peer_name() + " speaks protocol version " + std::to_string(version) + ", this node " +
         std::to_string(kProtocolVersion));
}

void Link::receive(const FrameHeader& header, ByteView payload, Instant now,
                   const Deliver& deliver) {
    if (state_ == PeerState::lost) return;
    const bool for_us = header.receiver == identity_.incarnation;
    if (state_ == PeerState::up && header.sender != peer_ &&
        (for_us || header.kind == FrameKind::hello)) {
        lose(peer_name() + " has restarted");
        return;
    }
    if (header.kind == FrameKind::hello) {
        adopt(header.sender, now);
        welcome_due_ = true;
        return;
    }
    if (!for_us) {
        ++counters_.rejected;
        return;
    }
    adopt(header.sender, now);
    if (state_ == PeerState::connecting) {
        state_ = PeerState::up;
        hello_due_ = false;
    }
    switch (header.kind) {
        case FrameKind::hello:
        case FrameKind::welcome:
        case FrameKind::probe:
        case FrameKind::probe_ack:
            break;
        case FrameKind::data:
        case FrameKind::ack:
            receive_data(header, payload, now, deliver);
            break;
    }
}

void Link::receive_data(const FrameHeader& header, ByteView payload, Instant now,
                        const Deliver& deliver) {
    if (send_.acknowledge(header.acknowledged, header.selective, now) ==
        SendWindow::Ack::impossible) {
        ++counters_.rejected;
        return;
    }
    if (header.kind != FrameKind::data) return;
    const auto counted = [&](Channel channel, ByteView bytes) {
        ++counters_.messages_received;
        deliver(channel, bytes);
    };
    if (owed_++ == 0) owed_since_ = now;
    switch (receive_.accept(header.sequence, header.channel, payload, counted)) {
        case ReceiveWindow::Outcome::delivered:
            break;
        case ReceiveWindow::Outcome::held_back:
            ++counters_.out_of_order;
            ack_now_ = true;
            break;
        case ReceiveWindow::Outcome::duplicate:
            ++counters_.duplicates;
            ack_now_ = true;  // our acknowledgement may have been lost
            break;
        case ReceiveWindow::Outcome::outside:
            ++counters_.rejected;
            break;
    }
}

void Link::tick(Instant now) {
    switch (state_) {
        case PeerState::lost:
            return;
        case PeerState::connecting:
            if (!connecting_since_) connecting_since_ = now;
            if (timing_.connect_timeout > Duration::zero() &&
                now - *connecting_since_ >= timing_.connect_timeout) {
                lose("no answer from " + peer_name() + " for " + seconds(timing_.connect_timeout));
                return;
            }
            hello_due_ = hello_due_ || now >= hello_at_;
            return;
        case PeerState::up:
            send_.tick(now);
            check_silence(now);
            return;
    }
}

void Link::check_silence(Instant now) {
    const auto stuck_since = send_.stuck_since();
    if (!stuck_since || send_.timeouts_in_a_row() < kTimeoutsToLose) return;
    const Instant quiet_since = std::max(*stuck_since, heard_at_);
    if (now - quiet_since >= timing_.peer_timeout) {
        lose(peer_name() + " has been silent for " + seconds(timing_.peer_timeout));
    } else if (now - *stuck_since >= kStuckFactor * timing_.peer_timeout) {
        lose(peer_name() +
             " is heard but what it is sent does not arrive: does every part of the "
             "path carry 9000-byte frames?");
    }
}

bool Link::ack_due(Instant now) const {
    return ack_now_ || owed_ >= kAckEvery || (owed_ > 0 && now >= owed_since_ + timing_.ack_delay);
}

std::optional<FrameKind> Link::next_kind(Instant now) const {
    if (state_ == PeerState::lost) return std::nullopt;
    if (welcome_due_) return FrameKind::welcome;
    if (hello_due_) return FrameKind::hello;
    if (state_ == PeerState::up) {
        if (send_.sendable()) return FrameKind::data;
        if (ack_due(now)) return FrameKind::ack;
    }
    return std::nullopt;
}

std::optional<Link::Outgoing> Link::next(Instant now) const {
    const auto kind = next_kind(now);
    if (!kind) return std::nullopt;
    Outgoing outgoing;
    FrameHeader& header = outgoing.header;
    header.kind = *kind;
    header.from = identity_.self;
    header.to = identity_.peer;
    header.sender = identity_.incarnation;
    header.receiver = peer_;
    header.acknowledged = receive_.acknowledged();
    header.selective = receive_.selective();
    header.credit = static_cast<std::uint16_t>(timing_.window);
    if (*kind == FrameKind::hello || *kind == FrameKind::welcome)
        header.mtu = kLargestEthernetPayload;
    if (*kind == FrameKind::data) {
        const auto frame = send_.next();
        header.sequence = frame->sequence;
        header.channel = frame->channel;
        header.total = static_cast<std::uint16_t>(frame->payload.size());
        outgoing.payload = frame->payload;
    }
    return outgoing;
}

void Link::acknowledged_all() {
    owed_ = 0;
    ack_now_ = false;
}

void Link::transmitted(Instant now) {
    const auto kind = next_kind(now);
    VSMP_CHECK(kind.has_value(), "nothing was to be sent");
    switch (*kind) {
        case FrameKind::welcome:
            welcome_due_ = false;
            break;
        case FrameKind::hello:
            hello_due_ = false;
            hello_at_ = now + timing_.hello_interval;
            break;
        case FrameKind::data:
            send_.transmitted(now);
            acknowledged_all();
            break;
        case FrameKind::ack:
            acknowledged_all();
            break;
        case FrameKind::probe:
        case FrameKind::probe_ack:
            break;
    }
}

std::optional<Instant> Link::next_deadline() const {
    if (next_kind(Instant{})) return Instant{};
    switch (state_) {
        case PeerState::lost:
            return std::nullopt;
        case PeerState::connecting:
            return hello_at_;
        case PeerState::up:
            break;
    }
    auto deadline = send_.next_timeout();
    if (owed_ > 0) {
        const Instant ack_at = owed_since_ + timing_.ack_delay;
        deadline = deadline ? std::min(*deadline, ack_at) : ack_at;
    }
    return deadline;
}

PeerCounters Link::counters() const {
    PeerCounters counters = counters_;
    counters.retransmissions = send_.retransmissions();
    return counters;
}

}  // namespace vsmp::fabric
