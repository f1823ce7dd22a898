// What the layers above see of the links: messages to peers, reliable, in order within a stream
// (core/stream.hpp; docs/PROTOCOL.md, "Order and urgency"), each delivered once. One thread (the
// data plane) owns a Fabric and calls everything here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/function_ref.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

// What a message is about; the layer that owns a channel decodes its payload.
enum class Channel : std::uint8_t {
    coherence = 1,  // page_fault_broker
    vcpu,           // vcpu_shipper: hand-over of vCPUs
    locality,       // between the ship-or-fetch policies
    device,         // port and memory-mapped I/O of devices that live elsewhere
    clock,          // time-stamp counter comparison at start
    test,           // benches and tests
    page,           // contents of pages, where they may be overtaken by what is on other channels
};

// Largest payload (head + body) of one message. One Ethernet frame with a 9000-byte MTU carries
// it together with the frame header; where frames are smaller it is cut up.
inline constexpr std::size_t kMaxPayload = 8936;

struct PeerCounters {
    std::uint64_t frames_sent = 0, frames_received = 0;
    std::uint64_t bytes_sent = 0, bytes_received = 0;  // whole frames, without FCS
    std::uint64_t messages_sent = 0, messages_received = 0;
    std::uint64_t needless = 0;  // retransmissions of what the peer had already
    std::uint64_t retransmissions = 0, duplicates = 0, out_of_order = 0;
    std::uint64_t rejected = 0;  // well-formed frames in its name that were not believed; of them:
    std::uint64_t stale = 0;     // from or for an earlier life of one of the two
    std::uint64_t impossible = 0;      // acknowledging what was never sent
    std::uint64_t outside_window = 0;  // data that nobody may send yet, or contradicting itself

    PeerCounters& operator+=(const PeerCounters& o) {
        frames_sent += o.frames_sent, frames_received += o.frames_received;
        bytes_sent += o.bytes_sent, bytes_received += o.bytes_received;
        messages_sent += o.messages_sent, messages_received += o.messages_received;
        needless += o.needless;
        retransmissions += o.retransmissions, duplicates += o.duplicates;
        out_of_order += o.out_of_order, rejected += o.rejected;
        stale += o.stale, impossible += o.impossible, outside_window += o.outside_window;
        return *this;
    }
};

enum class PeerState : std::uint8_t { connecting, up, lost };

// Frames that reached a node and were dropped before they were taken for any peer's, by why.
struct DropCounters {
    std::uint64_t other_traffic = 0;  // another EtherType or VLAN
    std::uint64_t other_guest = 0, other_cluster = 0;
    std::uint64_t other_destination = 0;  // another MAC or node
    std::uint64_t other_version = 0;
    std::uint64_t malformed = 0;    // truncated, longer than can be, contradicting themselves
    std::uint64_t damaged = 0;      // wrong checksum
    std::uint64_t unprotected = 0;  // not sealed (or not summed) where all are, or the reverse
    std::uint64_t unauthentic = 0;  // sealed with another key, forged, or changed on the way
    std::uint64_t unknown_key = 0;  // sealed with a key of a number not in the file
    std::uint64_t replayed = 0;     // authentic, but seen before
};

// One way to a peer.
struct PathStats {
    enum class State : std::uint8_t {
        unknown,  // nothing of the peer has come by it yet
        up,
        silent,  // it let a timeout pass: not used while there is another, and asked now and then
    };
    std::string port;  // its name, "af_packet on eth1"
    State state{};
    std::size_t mtu = 0;         // largest Ethernet payload known to arrive
    std::size_t agreed_mtu = 0;  // what both ports have: more than mtu where the path swallows some
    Duration round_trip{};       // smoothed
    std::uint64_t frames_sent = 0, frames_received = 0;
    std::uint64_t bytes_sent = 0, bytes_received = 0;  // whole frames, without FCS
};

// The data-plane side of the links of one node.
class Fabric {
  public:
    // Called for each message. `payload` is valid during the call only.
    using Deliver = FunctionRef<void(NodeId from, Channel channel, ByteView payload)>;

    virtual ~Fabric() = default;

    // Queues head followed by body (either may be empty); both are copied before it returns.
    // `to` is another node and at most kMaxPayload bytes; anything else aborts. Beyond the peer's
    // window messages wait in a bounded queue; see congested().
    virtual void send(NodeId to, Channel channel, ByteView head, ByteView body = {}) = 0;
    // The same without a copy where the port allows it: compose() begins a message and has room for
    // kMaxPayload bytes of it, send_composed() sends the first `size` of them. One at a time; send()
    // and poll() may come in between. Here: with a copy.
    virtual std::span<std::byte> compose() {
        composed_.resize(kMaxPayload);
        return composed_;
    }
    virtual void send_composed(NodeId to, Channel channel, std::size_t size) {
        send(to, channel, ByteView{composed_}.first(size));
    }
    // True while some peer's queue is above its high-water mark. The caller then stops what makes
    // new messages (faults, ships, device requests); answers always still fit.
    virtual bool congested() const = 0;

    // Receives, delivers, acknowledges, retransmits what is due and transmits what is queued.
    // Returns whether anything was received.
    virtual bool poll(Instant now, const Deliver& deliver) = 0;
    // When poll() wants to be called next though nothing arrives (retransmission, delayed ack).
    virtual std::optional<Instant> next_deadline() const = 0;

    // Readable when a frame may have arrived: to sleep on with epoll/ppoll. `arm_wakeup` is called
    // right before sleeping and says false when frames are already there; `disarm_wakeup` after.
    virtual int wakeup_fd() const = 0;
    virtual bool arm_wakeup() = 0;
    virtual void disarm_wakeup() = 0;

    virtual PeerState peer_state(NodeId peer) const = 0;
    // Why the peer is lost, or what is wrong with a way to it though it is up (it swallows large
    // frames, it is silent): one line for a person; empty when there is nothing to say.
    virtual std::string peer_problem(NodeId) const { return {}; }
    // Starts anew with a peer that is lost: what was under way to it is gone, nothing of the old
    // link is delivered any more. Not from within poll().
    virtual void reconnect(NodeId) {}
    virtual PeerCounters counters(NodeId peer) const = 0;
    // One for each port of this node.
    virtual std::vector<PathStats> paths(NodeId) const { return {}; }
    virtual DropCounters drops() const { return {}; }

  private:
    std::vector<std::byte> composed_;
};

}  // namespace vsmp::fabric
