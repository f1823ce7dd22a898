// One reliable link to one peer: handshake, acknowledgement, retransmission, loss of the peer.
// Pure: time and frames are passed in, frames to send are asked for.
//
//   connecting --welcome, or data or ack meant for us--> up --silence, restart--> lost
//   connecting --no answer, other version--> lost
//
// While connecting a node sends hello; each hello is answered with a welcome. lost is final: the
// two ends no longer agree on what was delivered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/receive_window.hpp"
#include "dpdk_transport/core/send_window.hpp"

namespace vsmp::fabric {

struct LinkIdentity {
    NodeId self, peer;
    LinkIncarnation incarnation;  // of this node's end; differs for each start
};

class Link {
  public:
    using Deliver = ReceiveWindow::Deliver;

    Link(const LinkIdentity& identity, const LinkTiming& timing);

    // Waits in the queue until the peer is up and the window open. Dropped when the peer is lost.
    void send(Channel channel, ByteView head, ByteView body);
    bool congested() const { return send_.waiting() >= timing_.high_water; }

    // A frame of this peer to this node, decoded. `deliver` may call send().
    void receive(const FrameHeader& header, ByteView payload, Instant now, const Deliver& deliver);
    // The peer speaks another version of the protocol. Ends a link that is not up yet.
    void receive_foreign(std::uint8_t version);

    // Timers. Call before next().
    void tick(Instant now);
    struct Outgoing {
        FrameHeader header;
        ByteView payload;  // valid until the next call of anything but next()
    };
    // The frame to send now, if any. The same again until transmitted() says that it went.
    std::optional<Outgoing> next(Instant now) const;
    void transmitted(Instant now);
    // When tick() has something to do; the epoch when next() has a frame already.
    std::optional<Instant> next_deadline() const;

    PeerState state() const { return state_; }
    const std::string& problem() const { return problem_; }
    // Frames and bytes are counted by who sees whole frames.
    PeerCounters counters() const;
    std::size_t waiting() const { return send_.waiting(); }
    std::size_t held_back() const { return receive_.held_back(); }

  private:
    void adopt(LinkIncarnation peer, Instant now);
    void lose(std::string why);
    void receive_data(const FrameHeader& header, ByteView payload, Instant now,
                      const Deliver& deliver);
    void check_silence(Instant now);
    bool ack_due(Instant now) const;
    void acknowledged_all();
    std::optional<FrameKind> next_kind(Instant now) const;
    std::string peer_name() const;

    LinkIdentity identity_;
    LinkTiming timing_;
    SendWindow send_;
    ReceiveWindow receive_;
    PeerState state_ = PeerState::connecting;
    std::string problem_;
    LinkIncarnation peer_;  // unknown until the first frame
    PeerCounters counters_;

    std::optional<Instant> connecting_since_;
    Instant hello_at_{};
    bool hello_due_ = false, welcome_due_ = false;
    Instant heard_at_{};

    std::size_t owed_ = 0;  // data frames not acknowledged yet
    Instant owed_since_{};
    bool ack_now_ = false;
};

}  // namespace vsmp::fabric
