#include "dpdk_transport/core/frame.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace vsmp::fabric {
namespace {

constexpr MacAddress kHere{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kThere{{2, 0, 0, 0, 0, 2}};

FrameContext context_of(int self, std::uint16_t vlan = 0) {
    return {0x1122334455667788, NodeId{static_cast<std::uint8_t>(self)}, 3, vlan};
}

FrameHeader data_header() {
    FrameHeader header;
    header.kind = FrameKind::data;
    header.from = NodeId{1};
    header.to = NodeId{2};
    header.sender = LinkIncarnation{0xa1a2a3a4};
    header.receiver = LinkIncarnation{0xb1b2b3b4};
    header.sequence = 0xfffffffe;
    header.acknowledged = 77;
    header.selective = 0x8000000000000001;
    header.channel = Channel::vcpu;
    return header;
}

std::vector<std::byte> encoded(const FrameHeader& header, std::size_t payload_size,
                               std::uint16_t vlan = 0) {
    std::vector<std::byte> frame(kMaxHeaderSize + payload_size, std::byte{0x5a});
    ByteWriter writer{frame};
    encode_frame(context_of(1, vlan), kThere, kHere, header, payload_size, writer);
    frame.resize(writer.size() + payload_size);
    return frame;
}

DecodeResult decode(const std::vector<std::byte>& frame, std::uint16_t vlan = 0) {
    return decode_frame(context_of(2, vlan), frame);
}

TEST(Frame, RoundTrip) {
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, kMaxPayload}) {
        const auto frame = encoded(data_header(), size);
        EXPECT_EQ(frame.size(), kHeaderSize + size);
        const auto result = decode(frame);
        const auto* decoded = std::get_if<DecodedFrame>(&result);
        ASSERT_NE(decoded, nullptr);
        EXPECT_EQ(decoded->header, data_header());
        EXPECT_EQ(decoded->source, kHere);
        EXPECT_EQ(decoded->destination, kThere);
        EXPECT_EQ(decoded->payload.size(), size);
    }
}

TEST(Frame, EtherTypeIsInNetworkOrderAtItsPlace) {
    const auto frame = encoded(data_header(), 0);
    EXPECT_EQ(frame[12], std::byte{0x88});
    EXPECT_EQ(frame[13], std::byte{0xb5});
    EXPECT_EQ(frame[14], std::byte{kProtocolVersion});
}

TEST(Frame, VlanTagIsWrittenAndRequired) {
    const auto tagged = encoded(data_header(), 5, 42);
    EXPECT_EQ(tagged.size(), kMaxHeaderSize + 5);
    EXPECT_TRUE(std::holds_alternative<DecodedFrame>(decode(tagged, 42)));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(tagged, 43)));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(tagged, 0)));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(data_header(), 5), 42)));
}

TEST(Frame, EthernetPaddingIsAllowed) {
    auto frame = encoded(data_header(), 1);
    frame.resize(60);
    const auto result = decode(frame);
    ASSERT_TRUE(std::holds_alternative<DecodedFrame>(result));
    EXPECT_EQ(std::get<DecodedFrame>(result).payload.size(), 1u);
}

TEST(Frame, EveryTruncationIsRejected) {
    const auto frame = encoded(data_header(), 9);
    for (std::size_t size = 0; size < frame.size(); ++size) {
        const std::vector<std::byte> cut{frame.begin(),
                                         frame.begin() + static_cast<std::ptrdiff_t>(size)};
        EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(cut))) << size;
    }
}

TEST(Frame, AnotherVersionNamesItsSender) {
    auto frame = encoded(data_header(), 0);
    frame[14] = std::byte{9};
    frame[15] = std::byte{200};  // kinds of another version mean nothing here
    const auto result = decode(frame);
    const auto* foreign = std::get_if<ForeignVersion>(&result);
    ASSERT_NE(foreign, nullptr);
    EXPECT_EQ(foreign->version, 9);
    EXPECT_EQ(foreign->from, NodeId{1});
}

struct Damage {
    const char* what;
    std::size_t offset;
    std::uint8_t value;
    NotOurs expected;
};

class FrameDamage : public testing::TestWithParam<Damage> {};

TEST_P(FrameDamage, IsRejected) {
    auto frame = encoded(data_header(), 4);
    frame[GetParam().offset] = std::byte{GetParam().value};
    const auto result = decode(frame);
    ASSERT_TRUE(std::holds_alternative<NotOurs>(result));
    EXPECT_EQ(std::get<NotOurs>(result), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Fields, FrameDamage,
                         testing::Values(Damage{"EtherType", 13, 0xb6, NotOurs::other_ethertype},
                                         Damage{"Kind", 15, 0, NotOurs::malformed},
                                         Damage{"KindTooLarge", 15, 5, NotOurs::malformed},
                                         Damage{"FromOutside", 16, 3, NotOurs::malformed},
                                         Damage{"FromMyself", 16, 2, NotOurs::malformed},
                                         Damage{"To", 17, 0, NotOurs::other_destination},
                                         Damage{"Guest", 18, 0, NotOurs::other_guest},
                                         Damage{"LengthPastEnd", 26, 5, NotOurs::malformed},
                                         Damage{"LengthHuge", 27, 0xff, NotOurs::malformed},
                                         Damage{"Reserved", 28, 1, NotOurs::malformed},
                                         Damage{"Channel", 54, 7, NotOurs::malformed},
                                         Damage{"ChannelZero", 54, 0, NotOurs::malformed},
                                         Damage{"ReservedAgain", 55, 1, NotOurs::malformed}),
                         [](const auto& parameter) { return parameter.param.what; });

TEST(Frame, HelloCarriesNothing) {
    FrameHeader hello;
    hello.kind = FrameKind::hello;
    hello.from = NodeId{1};
    hello.to = NodeId{2};
    hello.sender = LinkIncarnation{1};
    EXPECT_TRUE(std::holds_alternative<DecodedFrame>(decode(encoded(hello, 0))));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(hello, 1))));
    hello.sender = LinkIncarnation{};
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(hello, 0))));
}

}  // namespace
}  // namespace vsmp::fabric
