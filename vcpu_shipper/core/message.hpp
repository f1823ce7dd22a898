// Messages between nodes about vCPUs: handing one over, saying where it is, and interrupts for it.
// They all travel on fabric::Channel::vcpu; the protocol needs them in order per
// peer, which the fabric grants across channels. docs/PROTOCOL.md tells the story.
#pragma once

#include <cstdint>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "vcpu_shipper/core/interrupt.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::shipper {

// How often a vCPU has changed hands since the guest started. Of two statements about where a
// vCPU is, the one with the higher epoch is the newer.
using Epoch = Id<struct EpochTag, std::uint64_t>;

enum class MessageKind : std::uint8_t {
    ship_state = 1,  // epoch: the receiver's, once it has taken the vCPU
    ship_ack,        // epoch of the ship_state it answers
    ship_nack,       // the same; the vCPU is the source's again, under epoch + 1
    location,        // the vCPU runs on the sender since `epoch`
    interrupt,       // epoch: of the sender's belief that the receiver has the vCPU
};

enum class NackReason : std::uint8_t {
    none,         // not a ship_nack
    bad_state,    // the state could not be decoded
    cannot_load,  // KVM refused it: the hosts differ
    closing,      // this node takes no more vCPUs
};

struct Message {
    MessageKind kind{};
    VcpuId vcpu;
    Epoch epoch;
    NackReason reason = NackReason::none;  // ship_nack
    Interrupt interrupt;                   // interrupt

    friend bool operator==(const Message&, const Message&) = default;
};

// kind u8, three bytes a, b, c, vcpu u16, zero u16, epoch u64: 16 bytes. a, b, c are the reason
// (ship_nack) or kind, vector, trigger (interrupt), else zero.
inline constexpr std::size_t kMessageHeaderSize = 16;
// The fabric's largest message is 8,936 bytes.
static_assert(kMessageHeaderSize + kMaxStateBytes <= 8936);

struct DecodedMessage {
    Message message;
    ByteView state;  // ship_state: 1..kMaxStateBytes bytes, else empty; points into the input
};

// Writes kMessageHeaderSize bytes; a ship_state's encoded VcpuState follows as a second segment.
void encode(const Message& message, ByteWriter& to);
// An error for whatever encode() would not write for a guest of `vcpu_count` vCPUs.
Result<DecodedMessage> decode_message(ByteView bytes, std::size_t vcpu_count);

}  // namespace vsmp::shipper
