#include "dpdk_transport/make_fabric.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <random>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/link.hpp"
#include "proto/fd.hpp"

namespace vsmp::fabric {
namespace {

// While a port takes no frames: when to try again.
constexpr Duration kRetryTransmit = std::chrono::microseconds(100);

// Where a peer is reached. Unknown until its first frame.
struct Route {
    std::size_t port = 0;
    MacAddress mac;
};

struct Peer {
    explicit Peer(const LinkIdentity& identity, const LinkTiming& timing)
        : link(identity, timing) {}
    Link link;
    std::optional<Route> route;
    std::uint64_t frames_sent = 0, frames_received = 0;
    std::uint64_t bytes_sent = 0, bytes_received = 0;
};

class PortFabric final : public Fabric {
  public:
    PortFabric(const FabricOptions& options, std::vector<std::unique_ptr<Port>> ports,
               UniqueFd epoll)
        : context_{options.guest, options.self, options.node_count, options.vlan},
          ports_(std::move(ports)),
          epoll_(std::move(epoll)) {
        peers_.reserve(options.node_count);
        for (std::size_t i = 0; i < options.node_count; ++i)
            peers_.emplace_back(LinkIdentity{options.self, NodeId{static_cast<std::uint8_t>(i)},
                                             LinkIncarnation{options.incarnation}},
                                timing_for(options));
    }

    void send(NodeId to, Channel channel, ByteView head, ByteView body) override {
        peer(to).link.send(channel, head, body);
    }

    bool congested() const override {
        return std::ranges::any_of(peers_, [](const Peer& p) { return p.link.congested(); });
    }

    bool poll(Instant now, const Deliver& deliver) override;
    std::optional<Instant> next_deadline() const override;

    int wakeup_fd() const override { return epoll_.get(); }
    bool arm_wakeup() override;
    void disarm_wakeup() override {
        for (auto& port : ports_) port->disarm_wakeup();
    }

    PeerState peer_state(NodeId id) const override { return peer(id).link.state(); }
    std::string peer_problem(NodeId id) const override { return peer(id).link.problem(); }
    PeerCounters counters(NodeId id) const override;

  private:
    // Frames of all peers together must fit the ring of a port that reaches them all.
    static LinkTiming timing_for(const FabricOptions& options) {
        constexpr std::size_t kRing = 512;
        LinkTiming timing = options.timing;
        while (timing.window > 32 && timing.window * (options.node_count - 1) > kRing)
            timing.window /= 2;
        return timing;
    }

    Peer& peer(NodeId id) { return const_cast<Peer&>(std::as_const(*this).peer(id)); }
    const Peer& peer(NodeId id) const {
        VSMP_CHECK(id != context_.self && id.value() < peers_.size(), "not a peer");
        return peers_[id.value()];
    }
    bool is_peer(std::size_t index) const { return index != context_.self.value(); }

    void receive_frame(std::size_t port, ByteView frame, Instant now, const Deliver& deliver);
    void transmit(Instant now);
    void transmit_to(Peer& peer, Instant now);
    bool queue_frame(std::size_t port, const MacAddress& to, Peer& peer,
                     const Link::Outgoing& outgoing);

    FrameContext context_;
    std::vector<std::unique_ptr<Port>> ports_;
    UniqueFd epoll_;
    std::vector<Peer> peers_;          // index = NodeId; self's is never used
    std::optional<Instant> retry_at_;  // a port took no more
};

void PortFabric::receive_frame(std::size_t port, ByteView frame, Instant now,
                               const Deliver& deliver) {
    const DecodeResult result = decode_frame(context_, frame);
    if (const auto* foreign = std::get_if<ForeignVersion>(&result)) {
        peer(foreign->from).link.receive_foreign(foreign->version);
        return;
    }
    const auto* decoded = std::get_if<DecodedFrame>(&result);
    if (decoded == nullptr) return;
    const MacAddress& to = decoded->destination;
    if (to != kBroadcastMac && to != ports_[port]->mac()) return;
    const NodeId from = decoded->header.from;
    Peer& sender = peer(from);
    ++sender.frames_received;
    sender.bytes_received += frame.size();
    // Fixed once the peer is up: a stray frame must not lead the link astray.
    if (sender.link.state() == PeerState::connecting) sender.route = Route{port, decoded->source};
    sender.link.receive(
        decoded->header, decoded->payload, now,
        [&](Channel channel, ByteView payload) { deliver(from, channel, payload); });
}

bool PortFabric::queue_frame(std::size_t port, const MacAddress& to, Peer& peer,
                             const Link::Outgoing& outgoing) {
    std::array<std::byte, kMaxHeaderSize> buffer;
    ByteWriter header{buffer};
    encode_frame(context_, to, ports_[port]->mac(), outgoing.header, outgoing.payload, header);
    if (!ports_[port]->queue(header.written(), outgoing.payload)) return false;
    ++peer.frames_sent;
    peer.bytes_sent += header.size() + outgoing.payload.size();
    return true;
}

void PortFabric::transmit_to(Peer& peer, Instant now) {
    peer.link.tick(now);
    while (const auto outgoing = peer.link.next(now)) {
        bool taken = false;
        if (peer.route && outgoing->header.kind != FrameKind::hello) {
            taken = queue_frame(peer.route->port, peer.route->mac, peer, *outgoing);
        } else {
            for (std::size_t i = 0; i < ports_.size(); ++i)
                taken = queue_frame(i, kBroadcastMac, peer, *outgoing) || taken;
        }
        if (!taken) {
            retry_at_ = now + kRetryTransmit;
            return;
        }
        peer.link.transmitted(now);
    }
}

void PortFabric::transmit(Instant now) {
    retry_at_.reset();
    for (std::size_t i = 0; i < peers_.size(); ++i)
        if (is_peer(i)) transmit_to(peers_[i], now);
    for (auto& port : ports_)
        if (!port->flush()) retry_at_ = now + kRetryTransmit;
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

PeerCounters PortFabric::counters(NodeId id) const {
    const Peer& p = peer(id);
    PeerCounters counters = p.link.counters();
    counters.frames_sent = p.frames_sent;
    counters.frames_received = p.frames_received;
    counters.bytes_sent = p.bytes_sent;
    counters.bytes_received = p.bytes_received;
    return counters;
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
    if (ports.empty()) return Error{"a fabric needs a port"};
    for (const auto& port : ports)
        if (port->mtu() < kLargestEthernetPayload)
            return Error{port->name() + ": MTU " + std::to_string(port->mtu()) +
                         " is too small, 9000 is needed"};
    return {};
}

}  // namespace

std::uint32_t random_incarnation() {
    std::random_device device;
    return std::uniform_int_distribution<std::uint32_t>{1}(device);
}

Result<std::unique_ptr<Fabric>> make_fabric(const FabricOptions& options,
                                            std::vector<std::unique_ptr<Port>> ports) {
    VSMP_TRY(check(options, ports));
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    for (const auto& port : ports) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, port->wakeup_fd(), &event) != 0)
            return Error::from_errno("epoll_ctl for " + port->name());
    }
    return std::unique_ptr<Fabric>{
        std::make_unique<PortFabric>(options, std::move(ports), std::move(epoll))};
}

}  // namespace vsmp::fabric
