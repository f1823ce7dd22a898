// The Fabric over any ports: a reliable link to each peer (core/link.hpp), frames to and from
// ports. Internal to dpdk_transport.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "dpdk_transport/core/credit_pool.hpp"
#include "dpdk_transport/core/link.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "proto/fd.hpp"

namespace vsmp::fabric {

class PortFabric final : public Fabric {
  public:
    PortFabric(const FabricOptions& options, std::vector<std::unique_ptr<Port>> ports,
               std::unique_ptr<FrameSealer> sealer, UniqueFd epoll);

    void send(NodeId to, Channel channel, ByteView head, ByteView body) override {
        note_message(to);
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
    struct Peer {
        Peer(Link own_link, std::size_t ports) : link(std::move(own_link)), ways(ports) {}
        Link link;
        struct Way {
            MacAddress mac = kBroadcastMac;  // until its hello came there
            std::uint64_t frames_sent = 0, frames_received = 0;
            std::uint64_t bytes_sent = 0, bytes_received = 0;
        };
        std::vector<Way> ways;  // by port
        PeerCounters before;    // of links that are gone
        std::uint64_t not_authentic = 0;
    };

    Link make_link(const LinkIdentity& identity) const { return Link{identity, timing_, paths_}; }
    Peer& peer(NodeId id) { return const_cast<Peer&>(std::as_const(*this).peer(id)); }
    const Peer& peer(NodeId id) const {
        VSMP_CHECK(id != context_.self && id.value() < context_.node_count, "not a peer");
        return peers_[id.value()];
    }
    bool is_peer(std::size_t index) const { return index != context_.self.value(); }

    void receive_frame(std::size_t port, ByteView frame, Instant now, const Deliver& deliver);
    void accept(Peer& sender, std::size_t port, const DecodedFrame& decoded, ByteView payload,
                Instant now, const Deliver& deliver);
    void note_message(NodeId to) {
        ++new_messages_;
        newest_to_ = to.value();
    }
    void send_messages(Instant now);
    bool send_lone_message(Instant now);
    void tend_links(Instant now);
    template <class Wants>
    void send_from_all(Instant now, Wants wants);
    bool send_next(Peer& peer, Instant now);
    bool queue_frame(Peer& peer, const Link::Outgoing& outgoing);
    bool queue_bytes(const Link::Outgoing& outgoing, const Port::Header& header);
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
    std::size_t new_messages_ = 0;     // queued since the last round
    std::size_t newest_to_ = 0;        // the peer of the last of them
    std::size_t first_turn_ = 0;       // whose turn it is first
    PathMask full_ports_ = 0;          // took no more in this round
    std::optional<Instant> retry_at_;  // a port took no more
    std::vector<std::byte> sealed_;    // one sealed payload
    KeptFrame composed_;               // the message under construction
    DropCounters drops_;
};

}  // namespace vsmp::fabric
