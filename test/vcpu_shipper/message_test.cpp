#include "vcpu_shipper/core/message.hpp"

#include <gtest/gtest.h>

namespace vsmp::shipper {
namespace {

constexpr std::size_t kVcpus = 4;

std::vector<std::byte> encoded(const Message& message, std::size_t state_bytes = 0) {
    std::vector<std::byte> bytes(kMessageHeaderSize);
    ByteWriter writer{bytes};
    encode(message, writer);
    EXPECT_EQ(writer.size(), kMessageHeaderSize);
    bytes.resize(kMessageHeaderSize + state_bytes, std::byte{7});
    return bytes;
}

Message make(MessageKind kind) {
    Message message;
    message.kind = kind;
    message.vcpu = VcpuId{3};
    message.epoch = Epoch{0x123456789abcdef0};
    return message;
}

std::vector<Message> one_of_each() {
    std::vector<Message> all = {make(MessageKind::ship_ack), make(MessageKind::location)};
    for (const NackReason reason :
         {NackReason::bad_state, NackReason::cannot_load, NackReason::closing}) {
        all.push_back(make(MessageKind::ship_nack));
        all.back().reason = reason;
    }
    for (const Interrupt interrupt :
         {Interrupt{InterruptKind::fixed, 0xfe, Trigger::edge},
          Interrupt{InterruptKind::fixed, 0, Trigger::level}, Interrupt{InterruptKind::nmi},
          Interrupt{InterruptKind::init}, Interrupt{InterruptKind::sipi, 0x9a}}) {
        all.push_back(make(MessageKind::interrupt));
        all.back().interrupt = interrupt;
    }
    return all;
}

TEST(ShipperMessage, RoundTrips) {
    for (const Message& message : one_of_each()) {
        const auto bytes = encoded(message);
        const auto back = decode_message(bytes, kVcpus);
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(back->message, message);
        EXPECT_TRUE(back->state.empty());
    }
}

TEST(ShipperMessage, ShipStateCarriesUpToTheLargestState) {
    const Message message = make(MessageKind::ship_state);
    EXPECT_FALSE(decode_message(encoded(message), kVcpus));
    EXPECT_FALSE(decode_message(encoded(message, kMaxStateBytes + 1), kVcpus));
    const auto bytes = encoded(message, kMaxStateBytes);
    const auto back = decode_message(bytes, kVcpus);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->message, message);
    EXPECT_EQ(back->state.size(), kMaxStateBytes);
}

TEST(ShipperMessage, WrongLengthsAreRefused) {
    for (const Message& message : one_of_each()) {
        const auto bytes = encoded(message, 1);
        EXPECT_FALSE(decode_message(bytes, kVcpus));
        for (std::size_t size = 0; size < kMessageHeaderSize; ++size)
            EXPECT_FALSE(decode_message(ByteView{bytes}.first(size), kVcpus));
    }
}

TEST(ShipperMessage, UnknownVcpuIsRefused) {
    EXPECT_FALSE(decode_message(encoded(make(MessageKind::ship_ack)), 3));
}

// Every value of every byte of the first half: refused, or the one encoding of what it decodes to.
TEST(ShipperMessage, WhatIsAcceptedIsCanonical) {
    for (const Message& message : one_of_each()) {
        const auto bytes = encoded(message);
        for (std::size_t at = 0; at < 8; ++at) {
            for (unsigned value = 0; value < 256; ++value) {
                auto changed = bytes;
                changed[at] = static_cast<std::byte>(value);
                const auto decoded = decode_message(changed, kVcpus);
                if (!decoded) continue;
                EXPECT_EQ(encoded(decoded->message, decoded->state.size()), changed);
            }
        }
    }
}

}  // namespace
}  // namespace vsmp::shipper
