// Our Ethernet frame, version 2. docs/PROTOCOL.md has the table and the reasons; all integers are
// little-endian after the EtherType. `field` names where each one starts in an untagged frame.
//
// Bytes 14 to 25 keep their place in every version to come, so that a node of another version can
// be named instead of being silent.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "dpdk_transport/core/acknowledgement.hpp"
#include "dpdk_transport/core/mac.hpp"
#include "dpdk_transport/fabric.hpp"
#include "proto/bytes.hpp"
#include "proto/ids.hpp"

namespace vsmp::fabric {

// IEEE 802 local experimental EtherType 1 (IEEE Std 802-2014, 9.2.4).
inline constexpr std::uint16_t kEtherType = 0x88b5;
inline constexpr std::uint16_t kVlanEtherType = 0x8100;  // IEEE Std 802.1Q
inline constexpr std::uint8_t kProtocolVersion = 3;

namespace field {
inline constexpr std::size_t kVersion = 14, kKind = 15, kFrom = 16, kTo = 17, kGuest = 18,
                             kCluster = 26, kSender = 30, kReceiver = 34, kFlags = 38,
                             kChannel = 39, kLength = 40, kSequence = 42, kAcknowledged = 46,
                             kSelective = 50, kCredit = 58, kAckDelay = 60, kOrder = 62,
                             kBehind = 64, kOffset = 66, kTotal = 68, kChecksum = 70, kPayload = 74;
}  // namespace field

inline constexpr std::size_t kEthernetHeaderSize = 14;
inline constexpr std::size_t kVlanTagSize = 4;
inline constexpr std::size_t kHeaderSize = field::kPayload;  // Ethernet's included, no VLAN tag
inline constexpr std::size_t kMaxHeaderSize = kHeaderSize + kVlanTagSize;
// Our part of the header: what it takes of an Ethernet MTU.
inline constexpr std::size_t kMtuOverhead = kHeaderSize - kEthernetHeaderSize;
// Any message fits one frame of such an MTU; with a smaller one (or a sealer's bytes on top of
// the largest messages) it is cut into segments.
inline constexpr std::size_t kLargestEthernetPayload = kMtuOverhead + kMaxPayload;
static_assert(kLargestEthernetPayload <= 9000);
// What every path is taken to carry until probes say more; IEEE 802.3's largest basic frame.
inline constexpr std::size_t kBasicMtu = 1500;
// The smallest that a port may have (IPv4's, RFC 791: anything less is no network).
inline constexpr std::size_t kSmallestMtu = 576;

enum class FrameKind : std::uint8_t {
    hello = 1,  // "I am here; answer with a welcome"
    welcome,    // answer to a hello
    data,       // one message, or a segment of one
    ack,        // acknowledgement alone; its payload: words 1 to 3 of what has arrived
    probe,      // padded to the size whose passage is asked about, or a sign of life
    probe_ack,  // it came
};

using LinkIncarnation = Id<struct LinkIncarnationTag, std::uint32_t>;  // 0: not known

enum class AckUrgency : std::uint8_t {
    may_wait,  // for data to ride on
    now,       // the sender waits for it: a retransmission
};

struct FrameHeader {
    FrameKind kind{};
    NodeId from, to;
    LinkIncarnation sender, receiver;
    AckUrgency answer = AckUrgency::may_wait;

    std::uint32_t acknowledged = 0;  // every sequence below this has arrived
    std::uint64_t selective = 0;     // bit i: acknowledged + 1 + i has arrived too
    AckScope scope = AckScope::whole;
    std::uint16_t credit = 0;        // sequences below acknowledged + credit may be sent
    std::uint16_t ack_delay_us = 0;  // for how long the newest data frame has waited for this ack

    // Data only; zero in other kinds.
    Channel channel{};
    std::uint32_t sequence = 0;
    std::uint16_t order = 0;   // among the frames of its stream (stream.hpp), modulo 2^16
    std::uint16_t behind = 0;  // frames of the node stream sent before it, modulo 2^16
    std::uint16_t offset = 0;  // of the payload in its message
    std::uint16_t total = 0;   // bytes of the message

    // hello, welcome: MTU of the port it left by. probe, probe_ack: Ethernet payload asked about.
    // On the wire in the place of `total`.
    std::uint16_t mtu = 0;

    // ack: a sequence that came a second time, in the place of `total`, too.
    std::optional<std::uint16_t> doubled;

    friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// What keeps a frame from being believed though it was changed on its way.
enum class Integrity : std::uint8_t {
    none,      // the port's own (Ethernet's FCS, or memory)
    checksum,  // CRC-32C over everything behind the EtherType
    sealed,    // an AEAD, frame_sealer.hpp
};

// What all frames of one node share and check.
struct FrameContext {
    std::uint64_t guest = 0;
    NodeId self;
    std::size_t node_count = 0;
    std::uint16_t vlan = 0;  // 0: untagged
    std::uint32_t cluster = 0;
    Integrity integrity = Integrity::none;
    std::size_t seal_overhead = 0;  // bytes behind the payload of a sealed frame
};

// Ethernet's header and ours.
constexpr std::size_t header_size(const FrameContext& context) {
    return kHeaderSize + (context.vlan != 0 ? kVlanTagSize : 0);
}
// Writes both into the first header_size() bytes of `to`; `payload`, or its sealed form, follows on
// the wire.
void encode_frame(const FrameContext& context, const MacAddress& destination,
                  const MacAddress& source, const FrameHeader& header, ByteView payload,
                  std::span<std::byte> to);

struct DecodedFrame {
    MacAddress destination, source;
    FrameHeader header;
    ByteView payload;        // points into the decoded bytes; still sealed, if it is
    ByteView authenticated;  // our header, version to checksum: what the seal covers besides
};

enum class NotOurs : std::uint8_t {
    other_ethertype,  // somebody else's traffic; also a frame of another VLAN
    other_guest,
    other_cluster,
    other_destination,
    malformed,
    damaged,      // the checksum is wrong
    unprotected,  // without the integrity that the context asks for
};
// A node of this guest that speaks another version of the protocol.
struct ForeignVersion {
    NodeId from;
    std::uint8_t version = 0;
};
using DecodeResult = std::variant<DecodedFrame, NotOurs, ForeignVersion>;

// What a decoded frame acknowledges; `payload` is its own, no longer sealed. Written where it is
// kept: a copy would have to wait until all of it is written.
void read_acknowledgement(const FrameHeader& header, ByteView payload, Acknowledgement& told);

// Never reads outside `frame`. Bytes behind the payload are allowed: Ethernet pads short frames.
DecodeResult decode_frame(const FrameContext& context, ByteView frame);

}  // namespace vsmp::fabric
