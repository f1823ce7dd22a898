#include "dpdk_transport/make_fabric.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <random>

#include "dpdk_transport/core/credit_pool.hpp"
#include "dpdk_transport/core/link.hpp"
#include "proto/fd.hpp"

namespace vsmp::fabric {
namespace {

// While a port takes no frames: when to try again.
constexpr Duration kRetryTransmit = std::chrono::microseconds(100);
// A page and what is around it in a message, sealed, fit a frame with such an MTU.
constexpr std::size_t kPageMtu = kPageSize + 200;
// Frames to one peer before the next peer has its turn.
constexpr std::size_t kTurn = 8;

struct Peer {
    Peer(Link own_link, std::size_t ports)
        : link(std::move(own_link)), macs(ports), traffic(ports) {}
    Link link;
    std::vector<MacAddress> macs;  // by port; broadcast until its hello came there
    PeerCounters before;           // of links that are gone
    struct Traffic {
        std::uint64_t frames_sent = 0, frames_received = 0;
        std::uint64_t bytes_sent = 0, bytes_received = 0;
    };
    std::vector<Traffic> traffic;  // by port
    std::uint64_t not_authentic = 0;
};

class PortFabric final : public Fabric {
  public:
    PortFabric(const FabricOptions& options, std::vector<std::unique_ptr<Port>> ports,
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
        for (Peer& peer : peers_) std::ranges::fill(peer.macs, kBroadcastMac);
    }

    void send(NodeId to, Channel channel, ByteView head, ByteView body) override {
        peer(to).link.send(channel, head, body);
    }

    std::span<std::byte> compose() override;
    void send_composed(NodeId to, Channel channel, std::size_t size) override;

    bool congested() const override {
        return std::ranges::any_of(peers_, [](const Peer& p) { return p.link.congested(); });
    }

    bool poll(Instant now, const Deliver& deliver) override;
    std::optional<Instant> next_deadline() const override;

    // A descriptor in between would make each waking longer.
    int wakeup_fd() const override {
        return ports_.size() == 1 ? ports_.front()->wakeup_fd() : epoll_.get();
    }
    bool arm_wakeup() override;
    void disarm_wakeup() override {
        for (auto& port : ports_) port->disarm_wakeup();
    }

    PeerState peer_state(NodeId id) const override { return peer(id).link.state(); }
    std::string peer_problem(NodeId id) const override;
    void reconnect(NodeId id) override;
    PeerCounters counters(NodeId id) const override;
    std::vector<PathStats> paths(NodeId id) const override;
    DropCounters drops() const override;

  private:
    Link make_link(const LinkIdentity& identity) const { return Link{identity, timing_, paths_}; }
    Peer& peer(NodeId id) { return const_cast<Peer&>(std::as_const(*this).peer(id)); }
    const Peer& peer(NodeId id) const {
        VSMP_CHECK(id != context_.self && id.value() < peers_.size(), "not a peer");
        return peers_[id.value()];
    }
    bool is_peer(std::size_t index) const { return index != context_.self.value(); }

    void receive_frame(std::size_t port, ByteView frame, Instant now, const Deliver& deliver);
    void transmit(Instant now);
    bool give_turn(Peer& peer, Instant now);
    bool queue_frame(Peer& peer, const Link::Outgoing& outgoing);
    bool queue_bytes(const Link::Outgoing& outgoing, ByteView header);
    ByteView sealed(const FrameHeader& header, ByteView encoded, ByteView payload);

    LinkTiming timing_;
    FrameContext context_;
    std::vector<std::unique_ptr<Port>> ports_;  // outlive frames that lie in the first one's store
    std::vector<MacAddress> own_macs_;          // of each
    std::unique_ptr<FrameSealer> sealer_;
    UniqueFd epoll_;
    CreditPool credit_;
    LinkPaths paths_;
    std::vector<Peer> peers_;          // index = NodeId; self's is never used
    std::size_t first_turn_ = 0;       // whose turn it is first
    PathMask full_ports_ = 0;          // took no more in this round
    std::optional<Instant> retry_at_;  // a port took no more
    std::vector<std::byte> sealed_;    // one sealed payload
    KeptFrame composed_;               // the message under construction
    DropCounters drops_;
};

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
    ++sender.traffic[port].frames_received;
    sender.traffic[port].bytes_received += frame.size();
    ByteView payload = decoded->payload;
    if (sealer_) {
        const auto opened = sealer_->open(from, decoded->authenticated, payload);
        if (!opened) {
            ++sender.not_authentic;
            return;
        }
        payload = *opened;
    }
    // Fixed once it was met there: a stray frame must not lead the link astray.
    if (!sender.link.path(port).known()) sender.macs[port] = decoded->source;
    sender.link.receive(
        port, decoded->header, payload, now,
        [&](Channel channel, ByteView message) { deliver(from, channel, message); });
}

ByteView PortFabric::sealed(const FrameHeader& header, ByteView encoded, ByteView payload) {
    sealed_.resize(payload.size() + context_.seal_overhead);
    sealer_->seal(header.to, encoded.last(kMtuOverhead), payload, sealed_);
    return sealed_;
}

// Straight from where the message lies if the port lets it, else as a copy.
bool PortFabric::queue_bytes(const Link::Outgoing& outgoing, ByteView header) {
    Port& port = *ports_[outgoing.path];
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
    const FrameHeader& header = outgoing.header;
    const bool to_all = header.kind == FrameKind::hello;
    std::array<std::byte, kMaxHeaderSize> buffer;
    ByteWriter encoded{buffer};
    encode_frame(context_, to_all ? kBroadcastMac : peer.macs[outgoing.path],
                 own_macs_[outgoing.path], header, outgoing.payload, encoded);
    const bool queued =
        sealer_ ? ports_[outgoing.path]->queue(encoded.written(),
                                               sealed(header, encoded.written(), outgoing.payload))
                : queue_bytes(outgoing, encoded.written());
    if (!queued) return false;
    Peer::Traffic& traffic = peer.traffic[outgoing.path];
    ++traffic.frames_sent;
    traffic.bytes_sent += encoded.size() + outgoing.payload.size() + context_.seal_overhead;
    return true;
}

std::span<std::byte> PortFabric::compose() {
    if (!composed_ && paths_.store != nullptr) composed_ = KeptFrame{*paths_.store};
    if (composed_) return {composed_.payload(), kMaxPayload};
    return Fabric::compose();
}

void PortFabric::send_composed(NodeId to, Channel channel, std::size_t size) {
    if (composed_ && size >= kWorthKeeping)
        peer(to).link.send(channel, std::move(composed_), size);
    else if (composed_)  // which serves the next message
        peer(to).link.send(channel, ByteView{composed_.payload(), size}, {});
    else
        Fabric::send_composed(to, channel, size);
}

// False: nothing more to send, as far as the ports take it.
bool PortFabric::give_turn(Peer& peer, Instant now) {
    for (std::size_t sent = 0; sent < kTurn;) {
        const Link::Outgoing* outgoing = peer.link.next(now, full_ports_);
        if (outgoing == nullptr) return false;
        if (queue_frame(peer, *outgoing)) {
            peer.link.transmitted(now);
            ++sent;
        } else {
            full_ports_ |= PathMask{1} << outgoing->path;
        }
    }
    return true;
}

void PortFabric::transmit(Instant now) {
    bool busy = retry_at_.has_value();
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        if (!is_peer(i)) continue;
        Link& link = peers_[i].link;
        if (link.rests(now)) continue;
        busy = true;
        link.tick(now);
        if (link.owes_acknowledgement()) link.grant(credit_.grant(i, link.granted()));
    }
    if (!busy) return;
    retry_at_.reset();
    full_ports_ = 0;
    for (bool more = true; more;) {
        more = false;
        for (std::size_t i = 0; i < peers_.size(); ++i) {
            const std::size_t index = (first_turn_ + i) % peers_.size();
            if (is_peer(index)) more = give_turn(peers_[index], now) || more;
        }
    }
    first_turn_ = (first_turn_ + 1) % peers_.size();
    for (auto& port : ports_)
        if (!port->flush()) retry_at_ = now + kRetryTransmit;
    if (full_ports_ != 0) retry_at_ = now + kRetryTransmit;
}

bool PortFabric::poll(Instant now, const Deliver& deliver) {
    std::size_t received = 0;
    for (std::size_t i = 0; i < ports_.size(); ++i)
        received +=
            ports_[i]->receive([&](ByteView frame) { receive_frame(i, frame, now, deliver); });
    transmit(now);
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

std::string PortFabric::peer_problem(NodeId id) const {
    const Link& link = peer(id).link;
    if (link.state() == PeerState::lost) return link.problem();
    for (std::size_t i = 0; i < ports_.size(); ++i) {
        const Path& path = link.path(i);
        const std::string way =
            "the way to node " + std::to_string(id.value()) + " over " + ports_[i]->name();
        if (path.swallows_large_frames())
            return way + " swallows frames larger than " + std::to_string(path.mtu()) +
                   " bytes, though both ends have an MTU of " + std::to_string(path.agreed_mtu()) +
                   ": messages are cut up";
        if (path.state() == Path::State::suspect) return way + " is silent";
        if (path.known() && path.agreed_mtu() < kPageMtu)
            return way + " has an MTU of " + std::to_string(path.agreed_mtu()) +
                   ": pages are cut up";
    }
    return {};
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
    std::ranges::fill(at.macs, kBroadcastMac);
    credit_.release(id.value());
}

PeerCounters PortFabric::counters(NodeId id) const {
    const Peer& p = peer(id);
    PeerCounters counters = p.link.counters();
    counters += p.before;
    for (const Peer::Traffic& traffic : p.traffic) {
        counters.frames_sent += traffic.frames_sent;
        counters.frames_received += traffic.frames_received;
        counters.bytes_sent += traffic.bytes_sent;
        counters.bytes_received += traffic.bytes_received;
    }
    counters.rejected += p.not_authentic;
    return counters;
}

PathStats::State state_of(const Path& path) {
    switch (path.state()) {
        case Path::State::unknown:
            return PathStats::State::unknown;
        case Path::State::alive:
            return PathStats::State::up;
        case Path::State::suspect:
            return PathStats::State::silent;
    }
    return PathStats::State::unknown;
}

std::vector<PathStats> PortFabric::paths(NodeId id) const {
    const Peer& p = peer(id);
    std::vector<PathStats> all;
    for (std::size_t i = 0; i < ports_.size(); ++i) {
        const Path& path = p.link.path(i);
        const Peer::Traffic& traffic = p.traffic[i];
        all.push_back({.port = ports_[i]->name(),
                       .state = state_of(path),
                       .mtu = path.mtu(),
                       .agreed_mtu = path.agreed_mtu(),
                       .round_trip = p.link.round_trip(i),
                       .frames_sent = traffic.frames_sent,
                       .frames_received = traffic.frames_received,
                       .bytes_sent = traffic.bytes_sent,
                       .bytes_received = traffic.bytes_received});
    }
    return all;
}

DropCounters PortFabric::drops() const {
    DropCounters drops = drops_;
    if (!sealer_) return drops;
    const SealCounters& seal = sealer_->counters();
    drops.unauthentic = seal.unauthentic;
    drops.unknown_key = seal.unknown_key;
    drops.replayed = seal.replayed;
    return drops;
}

Result<> check(const FabricOptions& options, const std::vector<std::unique_ptr<Port>>& ports) {
    if (options.node_count < 2 || options.node_count > kMaxNodes)
        return Error{"a fabric has 2 to " + std::to_string(kMaxNodes) + " nodes"};
    if (options.self.value() >= options.node_count)
        return Error{"node " + std::to_string(options.self.value()) + " of only " +
                     std::to_string(options.node_count)};
    if (options.incarnation == 0) return Error{"incarnation 0 means unknown"};
    if (options.vlan > 4094)
        return Error{"VLAN " + std::to_string(options.vlan) + " is not 1..4094"};
    if (ports.empty() || ports.size() > kMaxPaths)
        return Error{"a fabric needs 1 to " + std::to_string(kMaxPaths) + " ports"};
    if (options.integrity == Integrity::sealed) return Error{"sealed frames need a sealer"};
    for (const auto& port : ports)
        if (port->mtu() < kSmallestMtu)
            return Error{port->name() + ": MTU " + std::to_string(port->mtu()) +
                         " is too small, at least " + std::to_string(kSmallestMtu) +
                         " is needed and 9000 is right"};
    return {};
}

}  // namespace

std::uint32_t random_incarnation() {
    std::random_device device;
    return std::uniform_int_distribution<std::uint32_t>{1}(device);
}

Result<std::unique_ptr<Fabric>> make_fabric(const FabricOptions& options,
                                            std::vector<std::unique_ptr<Port>> ports,
                                            std::unique_ptr<FrameSealer> sealer) {
    VSMP_TRY(check(options, ports));
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    for (const auto& port : ports) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, port->wakeup_fd(), &event) != 0)
            return Error::from_errno("epoll_ctl for " + port->name());
    }
    return std::unique_ptr<Fabric>{std::make_unique<PortFabric>(
        options, std::move(ports), std::move(sealer), std::move(epoll))};
}

}  // namespace vsmp::fabric
