// Our Ethernet frame. docs/PROTOCOL.md has the table; all integers little-endian after the
// EtherType.
//
//   0  destination MAC, source MAC      12    | 30  sender's link incarnation      4
//  (12 802.1Q tag, when a VLAN is used   4)   | 34  receiver's, as the sender knows 4
//  12  EtherType 0x88B5, big-endian      2    | 38  sequence                       4
//  14  protocol version                  1    | 42  cumulative acknowledgement     4
//  15  kind                              1    | 46  selective acknowledgement      8
//  16  source node                       1    | 54  channel                        1
//  17  destination node                  1    | 55  reserved, 0                    1
//  18  guest incarnation                 8    | 56  payload
//  26  payload length                    2
//  28  reserved, 0                       2
//
// Bytes 14 to 25 keep their place in every version to come, so that a node of another version can
// be named instead of being silent.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "dpdk_transport/core/mac.hpp"
#include "dpdk_transport/fabric.hpp"
#include "proto/bytes.hpp"
#include "proto/ids.hpp"

namespace vsmp::fabric {

// IEEE 802 local experimental EtherType 1 (IEEE Std 802-2014, 9.2.4).
inline constexpr std::uint16_t kEtherType = 0x88b5;
inline constexpr std::uint16_t kVlanEtherType = 0x8100;  // IEEE Std 802.1Q
inline constexpr std::uint8_t kProtocolVersion = 1;

inline constexpr std::size_t kEthernetHeaderSize = 14;
inline constexpr std::size_t kVlanTagSize = 4;
inline constexpr std::size_t kHeaderSize = 56;  // with the Ethernet header, without a VLAN tag
inline constexpr std::size_t kMaxHeaderSize = kHeaderSize + kVlanTagSize;
// Largest Ethernet payload of a frame of ours; what is left of 9000 is for an authentication tag.
inline constexpr std::size_t kLargestEthernetPayload =
    kHeaderSize - kEthernetHeaderSize + kMaxPayload;
static_assert(kHeaderSize <= 62);
static_assert(kLargestEthernetPayload + 16 <= 9000);

enum class FrameKind : std::uint8_t {
    hello = 1,  // "I am here; answer with a welcome"
    welcome,    // answer to a hello
    data,       // one message
    ack,        // acknowledgement alone
};

using LinkIncarnation = Id<struct LinkIncarnationTag, std::uint32_t>;  // 0: not known

struct FrameHeader {
    FrameKind kind{};
    NodeId from, to;
    LinkIncarnation sender, receiver;
    std::uint32_t sequence = 0;      // data: of this frame; else 0
    std::uint32_t acknowledged = 0;  // every sequence below this has arrived
    std::uint64_t selective = 0;     // bit i: acknowledged + 1 + i has arrived too
    Channel channel{};               // data only; not set in other kinds

    friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

// What all frames of one node share and check.
struct FrameContext {
    std::uint64_t guest = 0;
    NodeId self;
    std::size_t node_count = 0;
    std::uint16_t vlan = 0;  // 0: untagged
};

// Writes Ethernet and our header; `payload_size` bytes follow it on the wire.
void encode_frame(const FrameContext& context, const MacAddress& destination,
                  const MacAddress& source, const FrameHeader& header, std::size_t payload_size,
                  ByteWriter& to);

struct DecodedFrame {
    MacAddress destination, source;
    FrameHeader header;
    ByteView payload;  // points into the decoded bytes
};

enum class NotOurs : std::uint8_t {
    other_ethertype,  // somebody else's traffic; also a frame of another VLAN
    other_guest,
    other_destination,
    malformed,
};
// A node of this guest that speaks another version of the protocol.
struct ForeignVersion {
    NodeId from;
    std::uint8_t version = 0;
};
using DecodeResult = std::variant<DecodedFrame, NotOurs, ForeignVersion>;

// Never reads outside `frame`. Bytes behind the payload are allowed: Ethernet pads short frames.
DecodeResult decode_frame(const FrameContext& context, ByteView frame);

}  // namespace vsmp::fabric
