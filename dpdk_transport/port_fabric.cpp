#include "dpdk_transport/port_fabric.hpp"

#include <algorithm>
#include <array>

namespace vsmp::fabric {
namespace {

// While a port takes no frames: when to try again.
constexpr Duration kRetryTransmit = std::chrono::microseconds(100);
// Frames to one peer before the next peer has its turn.
constexpr std::size_t kTurn = 8;

void count(NotOurs why, DropCounters& drops) {
    switch (why) {
        case NotOurs::other_ethertype:
            ++drops.other_traffic;
            return;
        case NotOurs::other_guest:
            ++drops.other_guest;
            return;
        case NotOurs::other_cluster:
            ++drops.other_cluster;
            return;
        case NotOurs::other_destination:
            ++drops.other_destination;
            return;
        case NotOurs::malformed:
            ++drops.malformed;
            return;
        case NotOurs::damaged:
            ++drops.damaged;
            return;
        case NotOurs::unprotected:
            ++drops.unprotected;
            return;
    }
}

}  // namespace

PortFabric::PortFabric(const FabricOptions& options, std::vector<std::unique_ptr<Port>> ports,
                       std::unique_ptr<FrameSealer> sealer, UniqueFd epoll)
    : timing_(options.timing),
      context_{.guest = options.guest,
               .self = options.self,
               .node_count = options.node_count,
               .vlan = options.vlan,
               .cluster = options.cluster,
               .integrity = sealer ? Integrity::sealed : options.integrity,
               .seal_overhead = sealer ? sealer->overhead() : 0},
      ports_(std::move(ports)),
      sealer_(std::move(sealer)),
      epoll_(std::move(epoll)),
      credit_(options.receive_capacity, options.node_count, options.node_count - 1,
              options.timing.window) {
    paths_.mtus.clear();
    for (const auto& port : ports_) paths_.mtus.push_back(port->mtu());
    paths_.seal_overhead = context_.seal_overhead;
    paths_.credit = credit_.share();
    // What is sealed is copied on its way through the cipher.
    if (!sealer_) paths_.store = ports_.front()->frame_store();
    for (const auto& port : ports_) own_macs_.push_back(port->mac());
    peers_.reserve(options.node_count);
    for (std::size_t i = 0; i < options.node_count; ++i)
        peers_.emplace_back(make_link({.self = options.self,
                                       .peer = NodeId{static_cast<std::uint8_t>(i)},
                                       .incarnation = LinkIncarnation{options.incarnation}}),
                            ports_.size());
}

void PortFabric::receive_frame(std::size_t port, ByteView frame, Instant now,
                               const Deliver& deliver) {
    const DecodeResult result = decode_frame(context_, frame);
    if (const auto* foreign = std::get_if<ForeignVersion>(&result)) {
        ++drops_.other_version;
        peer(foreign->from).link.receive_foreign(foreign->version);
        return;
    }
    if (const auto* why = std::get_if<NotOurs>(&result)) return count(*why, drops_);
    const auto* decoded = std::get_if<DecodedFrame>(&result);
    const MacAddress& to = decoded->destination;
    if (to != kBroadcastMac && to != own_macs_[port]) {
        ++drops_.other_destination;
        return;
    }
    const NodeId from = decoded->header.from;
    Peer& sender = peer(from);
    Peer::Way& way = sender.ways[port];
    ++way.frames_received;
    way.bytes_received += frame.size();
    if (!sealer_) return accept(sender, port, *decoded, decoded->payload, now, deliver);
    if (const auto opened = sealer_->open(from, decoded->authenticated, decoded->payload))
        accept(sender, port, *decoded, *opened, now, deliver);
    else
        ++sender.not_authentic;
}

void PortFabric::accept(Peer& sender, std::size_t port, const DecodedFrame& decoded,
                        ByteView payload, Instant now, const Deliver& deliver) {
    // Fixed once it was met there: a stray frame must not lead the link astray.
    if (!sender.link.path(port).known()) sender.ways[port].mac = decoded.source;
    sender.link.receive(port, decoded.header, payload, now, deliver);
}

ByteView PortFabric::sealed(const FrameHeader& header, ByteView encoded, ByteView payload) {
    sealed_.resize(payload.size() + context_.seal_overhead);
    sealer_->seal(header.to, encoded.last(kMtuOverhead), payload, sealed_);
    return sealed_;
}

// Straight from where the message lies if the port lets it, else as a copy.
bool PortFabric::queue_bytes(const Link::Outgoing& outgoing, const Port::Header& header) {
    Port& port = *ports_[outgoing.path];
    if (sealer_) {
        std::array<std::byte, kMaxHeaderSize> buffer;
        const auto encoded = std::span{buffer}.first(header.size);
        header.write(encoded);
        return port.queue_copy(encoded, sealed(outgoing.header, encoded, outgoing.payload));
    }
    if (outgoing.kept != nullptr) {
        switch (port.queue_kept(*outgoing.kept, header, outgoing.payload.size())) {
            case Port::Kept::queued:
                return true;
            case Port::Kept::full:
                return false;
            case Port::Kept::copy_needed:
                break;
        }
    }
    return port.queue(header, outgoing.payload);
}

bool PortFabric::queue_frame(Peer& peer, const Link::Outgoing& outgoing) {
    const bool to_all = outgoing.header.kind == FrameKind::hello;
    Peer::Way& way = peer.ways[outgoing.path];
    const auto encode = [&](std::span<std::byte> to) {
        encode_frame(context_, to_all ? kBroadcastMac : way.mac, own_macs_[outgoing.path],
                     outgoing.header, outgoing.payload, to);
    };
    const Port::Header header{header_size(context_), encode};
    if (!queue_bytes(outgoing, header)) return false;
    ++way.frames_sent;
    way.bytes_sent += header.size + outgoing.payload.size() + context_.seal_overhead;
    return true;
}

std::span<std::byte> PortFabric::compose() {
    if (!composed_ && paths_.store != nullptr) composed_ = KeptFrame{*paths_.store};
    if (composed_) return {composed_.payload(), kMaxPayload};
    return Fabric::compose();
}

void PortFabric::send_composed(NodeId to, Channel channel, std::size_t size) {
    note_message(to);
    if (composed_ && size >= kWorthKeeping)
        peer(to).link.send(channel, std::move(composed_), size);
    else if (composed_)  // which serves the next message
        peer(to).link.send(channel, ByteView{composed_.payload(), size}, {});
    else
        Fabric::send_composed(to, channel, size);
}

bool PortFabric::send_next(Peer& peer, Instant now) {
    while (const Link::Outgoing* outgoing = peer.link.next(now, full_ports_)) {
        if (queue_frame(peer, *outgoing)) {
            peer.link.transmitted(now);
            return true;
        }
        full_ports_ |= PathMask{1} << outgoing->path;
    }
    return false;
}

// In turns, as far as the ports take it; those peers whose link `wants` it.
template <class Wants>
void PortFabric::send_from_all(Instant now, Wants wants) {
    full_ports_ = 0;
    for (bool more = true; more;) {
        more = false;
        std::size_t index = first_turn_;
        for (std::size_t i = 0; i < peers_.size(); ++i, ++index) {
            if (index == peers_.size()) index = 0;
            if (!is_peer(index)) continue;
            Peer& peer = peers_[index];
            std::size_t sent = 0;
            while (sent < kTurn && wants(peer.link) && send_next(peer, now)) ++sent;
            more = more || sent == kTurn;
        }
    }
    if (++first_turn_ == peers_.size()) first_turn_ = 0;
    for (auto& port : ports_)
        if (!port->flush()) retry_at_ = now + kRetryTransmit;
    if (full_ports_ != 0) retry_at_ = now + kRetryTransmit;
}

// A message that came alone is on its way before it is noted down, and nobody else is asked;
// several share what it costs to hand them over. False: there is more to send.
bool PortFabric::send_lone_message(Instant now) {
    Link& link = peers_[newest_to_].link;
    if (link.waiting() != 1) return false;
    const Link::Outgoing* outgoing = link.next(now);
    if (outgoing == nullptr || !queue_frame(peers_[newest_to_], *outgoing)) return false;
    if (!ports_[outgoing->path]->flush()) retry_at_ = now + kRetryTransmit;
    link.transmitted(now);
    return link.waiting() == 0;
}

// Messages that were queued meanwhile, before anything that nobody waits for.
void PortFabric::send_messages(Instant now) {
    const std::size_t count = std::exchange(new_messages_, 0);
    if (count == 0 || (count == 1 && send_lone_message(now))) return;
    send_from_all(now, [](const Link& link) { return link.waiting() > 0; });
}

// Acknowledgements, timers, and what comes of them.
void PortFabric::tend_links(Instant now) {
    bool more = retry_at_.has_value();
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        if (!is_peer(i)) continue;
        Link& link = peers_[i].link;
        if (link.rests(now)) continue;
        link.tick(now);
        if (link.owes_acknowledgement()) link.grant(credit_.grant(i, link.granted()));
        more = more || link.may_have_frame(now);
    }
    if (!more) return;
    retry_at_.reset();
    send_from_all(now, [now](const Link& link) { return link.may_have_frame(now); });
}

bool PortFabric::poll(Instant now, const Deliver& deliver) {
    send_messages(now);
    std::size_t received = 0;
    for (std::size_t i = 0; i < ports_.size(); ++i)
        received +=
            ports_[i]->receive([&](ByteView frame) { receive_frame(i, frame, now, deliver); });
    send_messages(now);
    tend_links(now);
    return received > 0;
}

std::optional<Instant> PortFabric::next_deadline() const {
    if (retry_at_) return retry_at_;
    std::optional<Instant> next;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        if (!is_peer(i)) continue;
        const auto deadline = peers_[i].link.next_deadline();
        if (deadline && (!next || *deadline < *next)) next = deadline;
    }
    return next;
}

bool PortFabric::arm_wakeup() {
    for (std::size_t i = 0; i < ports_.size(); ++i) {
        if (ports_[i]->arm_wakeup()) continue;
        for (std::size_t j = 0; j <= i; ++j) ports_[j]->disarm_wakeup();
        return false;
    }
    return true;
}

void PortFabric::reconnect(NodeId id) {
    Peer& at = peer(id);
    if (at.link.state() != PeerState::lost) return;
    at.before += at.link.counters();
    LinkIdentity identity = at.link.identity();
    std::uint32_t incarnation = identity.incarnation.value() + 1;
    if (incarnation == 0) incarnation = 1;
    identity.incarnation = LinkIncarnation{incarnation};
    identity.former = at.link.peer_incarnation();
    at.link = make_link(identity);
    for (Peer::Way& way : at.ways) way.mac = kBroadcastMac;
    credit_.release(id.value());
}

}  // namespace vsmp::fabric
