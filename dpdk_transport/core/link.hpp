// One reliable link to one peer, over one or several paths: handshake, acknowledgement, credit,
// retransmission, loss of the peer. Pure: time and frames are passed in, frames to send are asked
// for.
//
//   connecting --welcome, or data or ack meant for us--> up --silence, restart--> lost
//   connecting --no answer, other version--> lost
//
// While a path is unknown the node sends hello over it; each hello is answered with a welcome. lost
// is final: the two ends no longer agree on what was delivered. Who wants to talk to the peer again
// makes another Link, with another incarnation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/path.hpp"
#include "dpdk_transport/core/receive_window.hpp"
#include "dpdk_transport/core/send_window.hpp"
#include "dpdk_transport/core/streams.hpp"

namespace vsmp::fabric {

struct LinkIdentity {
    NodeId self, peer;
    // Of this node's end: random for each start of the node, one more for each reconnection.
    LinkIncarnation incarnation;
    LinkIncarnation former{};  // of the peer's end in an earlier link: its frames are stale
};

struct LinkPaths {
    std::vector<std::size_t> mtus{9000};  // of each port: largest Ethernet payload
    std::size_t seal_overhead = 0;
    std::size_t credit = 0;       // what the peer is granted at first; 0: the whole window
    FrameStore* store = nullptr;  // outlives the link; where messages are kept, if there is one
};

// Paths as bits: 1 << index.
using PathMask = std::uint32_t;
inline constexpr std::size_t kMaxPaths = 32;

class Link {
  public:
    using Deliver = Streams::Deliver;

    Link(const LinkIdentity& identity, const LinkTiming& timing, const LinkPaths& paths = {});

    // Waits in the queue until the peer is up and the window open. Dropped when the peer is lost.
    void send(Channel channel, ByteView head, ByteView body);
    // A message of `size` bytes that is in the slot already.
    void send(Channel channel, KeptFrame message, std::size_t size);
    bool congested() const { return send_.waiting() >= timing_.high_water; }

    // A frame of this peer to this node, decoded, that came by this path. `deliver` may call
    // send(). What the frame acknowledges is taken in by the next receive() or tick(): an answer to
    // it need not wait for that.
    void receive(std::size_t path, const FrameHeader& header, ByteView payload, Instant now,
                 const Deliver& deliver);
    // The peer speaks another version of the protocol. Ends a link that is not up yet, when it is
    // said often enough not to be a damaged frame.
    void receive_foreign(std::uint8_t version);

    // Lets the peer have so many frames on their way here, from the next frame to it on.
    void grant(std::size_t credit) { credit_ = credit; }
    // What it may still send of what it was told.
    std::size_t granted() const { return receive_.credit(); }
    // Data has come that was not acknowledged yet.
    bool owes_acknowledgement() const { return owed_ > 0; }

    // Neither tick() nor next() has anything to do. Cheap: asked in every turn of a busy poll.
    bool rests(Instant now);

    // Acknowledgements and timers, which may make more to send.
    void tick(Instant now);
    struct Outgoing {
        std::size_t path = 0;
        FrameHeader header;
        ByteView payload;                 // valid until the next call of anything but next()
        const KeptFrame* kept = nullptr;  // as in SendWindow::Frame
    };
    // The frame to send now, if any, over a path that is not `blocked`. Null: nothing, or lost.
    const Outgoing* next(Instant now, PathMask blocked = 0);
    // The frame that next() showed was handed to the port.
    void transmitted(Instant now);
    // next() may have a frame; false is certain, and cheaper to find here.
    bool may_have_frame(Instant now) const {
        return has_due() || (state_ == PeerState::up && (send_.waiting() > 0 || send_.repeats() ||
                                                         (owed_ > 0 && ack_due(now))));
    }
    // When tick() has something to do; the epoch when next() has a frame already.
    std::optional<Instant> next_deadline() const;

    PeerState state() const { return state_; }
    // Why it is lost.
    const std::string& problem() const { return problem_; }
    const LinkIdentity& identity() const { return identity_; }
    LinkIncarnation peer_incarnation() const { return peer_; }
    const Path& path(std::size_t index) const { return paths_[index]; }
    Duration round_trip(std::size_t path) const { return send_.path(path).round_trip.smoothed(); }
    // Frames and bytes are counted by who sees whole frames.
    PeerCounters counters() const;
    std::size_t waiting() const { return send_.waiting(); }
    std::size_t held_back() const { return streams_.held_back(); }

  private:
    // What next() has chosen.
    struct Plan {
        enum class What : std::uint8_t { due, data, ack };
        What what{};
        Outgoing outgoing;
        Path::Due due;
        SendWindow::Frame frame;
        std::array<std::byte, kSelectiveReach / 8> selective;  // of an ack: words 1 to 3
    };

    Path::LinkState link_state() const {
        return state_ == PeerState::up ? Path::LinkState::up : Path::LinkState::connecting;
    }
    void lose(std::string why);
    void refuse_message();
    bool may_come_from_peer(const FrameHeader& header);
    void receive_data(std::size_t path, const FrameHeader& header, ByteView payload, Instant now,
                      const Deliver& deliver);
    void receive_probe(std::size_t path, const FrameHeader& header, ByteView payload, Instant now);
    bool note_acknowledgement(const FrameHeader& header, ByteView payload, Instant now);
    void take_acknowledgement();
    void check_silence(Instant now);
    void check_paths(Instant now);
    bool has_other_path(std::size_t path) const;
    std::optional<Instant> failover_at(std::size_t path) const;
    bool has_due() const {
        for (const Path& path : paths_)
            if (path.has_due()) return true;
        return false;
    }
    bool ack_due(Instant now) const;
    std::size_t find_segment_size() const;
    std::optional<std::size_t> choose_path(std::size_t payload, PathMask blocked) const;
    void begin_frame(FrameKind kind);
    bool plan_control(PathMask blocked);
    bool plan_data(PathMask blocked);
    bool plan_ack(PathMask blocked, Instant now);
    void fill_header(Instant now);
    void fill_selective();
    bool something_to_send() const;
    std::string peer_name() const;

    LinkIdentity identity_;
    LinkTiming timing_;
    std::size_t seal_overhead_;
    std::vector<Path> paths_;
    std::size_t segment_size_ = 0;  // largest payload that every path carries
    SendWindow send_;
    ReceiveWindow receive_;
    Streams streams_;
    Plan plan_;
    PeerState state_ = PeerState::connecting;
    std::string problem_;
    LinkIncarnation peer_;  // unknown until the first frame
    PeerCounters counters_;

    // Of the newest frame, if it is news; not taken in yet.
    struct Untaken {
        Acknowledgement told;
        Instant came{};
        bool is_news = false;
    };
    Untaken untaken_;

    std::optional<Instant> connecting_since_;
    Instant heard_at_{};
    std::size_t foreign_in_a_row_ = 0;

    std::size_t credit_;
    std::size_t reply_path_ = 0;  // by which data came last
    std::size_t owed_ = 0;        // data frames not acknowledged yet
    Instant owed_since_{};
    Instant newest_data_at_{};
    bool ack_now_ = false;
    std::optional<std::uint16_t> doubled_;  // a sequence that came again: an ack has to say so

    bool disturbed_ = true;               // since `rests_until_` was found
    std::optional<Instant> rests_until_;  // next_deadline(), while nothing disturbs
};

}  // namespace vsmp::fabric
