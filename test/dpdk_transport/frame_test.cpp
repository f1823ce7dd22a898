#include "dpdk_transport/core/frame.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dpdk_transport/core/checksum.hpp"

namespace vsmp::fabric {
namespace {

constexpr MacAddress kHere{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kThere{{2, 0, 0, 0, 0, 2}};

FrameContext context_of(int self, std::uint16_t vlan = 0) {
    return {0x1122334455667788, NodeId{static_cast<std::uint8_t>(self)}, 3, vlan};
}

FrameHeader data_header(std::size_t payload_size = 0) {
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
    header.credit = 300;
    header.ack_delay_us = 1000;
    header.order = 0xfffe;
    header.behind = 3;
    header.total = static_cast<std::uint16_t>(payload_size);
    header.answer = AckUrgency::now;
    return header;
}

std::vector<std::byte> encoded(const FrameHeader& header, std::size_t payload_size,
                               std::uint16_t vlan = 0) {
    std::vector<std::byte> frame(kMaxHeaderSize + payload_size, std::byte{0x5a});
    const std::vector<std::byte> payload(payload_size, std::byte{0x5a});
    encode_frame(context_of(1, vlan), kThere, kHere, header, payload, frame);
    frame.resize(header_size(context_of(1, vlan)) + payload_size);
    return frame;
}

DecodeResult decode(const std::vector<std::byte>& frame, std::uint16_t vlan = 0) {
    return decode_frame(context_of(2, vlan), frame);
}

TEST(Frame, RoundTrip) {
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, kMaxPayload}) {
        const auto frame = encoded(data_header(size), size);
        EXPECT_EQ(frame.size(), kHeaderSize + size);
        const auto result = decode(frame);
        const auto* decoded = std::get_if<DecodedFrame>(&result);
        ASSERT_NE(decoded, nullptr);
        EXPECT_EQ(decoded->header, data_header(size));
        EXPECT_EQ(decoded->source, kHere);
        EXPECT_EQ(decoded->destination, kThere);
        EXPECT_EQ(decoded->payload.size(), size);
    }
}

TEST(Frame, EtherTypeIsInNetworkOrderAtItsPlace) {
    const auto frame = encoded(data_header(), 0);
    EXPECT_EQ(frame[12], std::byte{0x88});
    EXPECT_EQ(frame[13], std::byte{0xb5});
    EXPECT_EQ(frame[field::kVersion], std::byte{kProtocolVersion});
}

TEST(Frame, VlanTagIsWrittenAndRequired) {
    const auto tagged = encoded(data_header(5), 5, 42);
    EXPECT_EQ(tagged.size(), kMaxHeaderSize + 5);
    EXPECT_TRUE(std::holds_alternative<DecodedFrame>(decode(tagged, 42)));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(tagged, 43)));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(tagged, 0)));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(data_header(5), 5), 42)));
}

TEST(Frame, EthernetPaddingIsAllowed) {
    auto frame = encoded(data_header(1), 1);
    frame.resize(frame.size() + 20);
    const auto result = decode(frame);
    ASSERT_TRUE(std::holds_alternative<DecodedFrame>(result));
    EXPECT_EQ(std::get<DecodedFrame>(result).payload.size(), 1u);
}

TEST(Frame, EveryTruncationIsRejected) {
    const auto frame = encoded(data_header(9), 9);
    for (std::size_t size = 0; size < frame.size(); ++size) {
        const std::vector<std::byte> cut{frame.begin(),
                                         frame.begin() + static_cast<std::ptrdiff_t>(size)};
        EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(cut))) << size;
    }
}

TEST(Frame, AnotherVersionNamesItsSender) {
    auto frame = encoded(data_header(), 0);
    frame[field::kVersion] = std::byte{9};
    frame[field::kKind] = std::byte{200};  // kinds of another version mean nothing here
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
    auto frame = encoded(data_header(4), 4);
    frame[GetParam().offset] = std::byte{GetParam().value};
    const auto result = decode(frame);
    ASSERT_TRUE(std::holds_alternative<NotOurs>(result));
    EXPECT_EQ(std::get<NotOurs>(result), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Fields, FrameDamage,
    testing::Values(Damage{"EtherType", 13, 0xb6, NotOurs::other_ethertype},
                    Damage{"Kind", field::kKind, 0, NotOurs::malformed},
                    Damage{"KindTooLarge", field::kKind, 7, NotOurs::malformed},
                    Damage{"FromOutside", field::kFrom, 3, NotOurs::malformed},
                    Damage{"FromMyself", field::kFrom, 2, NotOurs::malformed},
                    Damage{"To", field::kTo, 0, NotOurs::other_destination},
                    Damage{"Guest", field::kGuest, 0, NotOurs::other_guest},
                    Damage{"Cluster", field::kCluster, 9, NotOurs::other_cluster},
                    Damage{"LengthPastEnd", field::kLength, 5, NotOurs::malformed},
                    Damage{"LengthHuge", field::kLength + 1, 0xff, NotOurs::malformed},
                    Damage{"UnknownFlag", field::kFlags, 32, NotOurs::malformed},
                    Damage{"DoubleNamedByData", field::kFlags, 8, NotOurs::malformed},
                    Damage{"Unsealed", field::kFlags, 2, NotOurs::unprotected},
                    Damage{"Channel", field::kChannel, 8, NotOurs::malformed},
                    Damage{"ChannelZero", field::kChannel, 0, NotOurs::malformed},
                    Damage{"OffsetPastEnd", field::kOffset, 1, NotOurs::malformed},
                    Damage{"TotalTooSmall", field::kTotal, 3, NotOurs::malformed},
                    Damage{"TotalTooLarge", field::kTotal + 1, 0xff, NotOurs::malformed},
                    Damage{"ChecksumWithoutFlag", field::kChecksum, 1, NotOurs::malformed}),
    [](const auto& parameter) { return parameter.param.what; });

TEST(Frame, ChecksumIsThatOfTheStandard) {
    // RFC 3720, appendix B.4.
    const std::string text = "123456789";
    Checksum sum;
    sum.add(std::as_bytes(std::span{text}.first(4)));
    sum.add(std::as_bytes(std::span{text}.subspan(4)));
    EXPECT_EQ(sum.value(), 0xe3069283u);
    const std::vector<std::byte> zeros(32);
    Checksum of_zeros;
    of_zeros.add(zeros);
    EXPECT_EQ(of_zeros.value(), 0x8a9136aau);
}

TEST(Frame, EveryFlippedBitIsFoundByTheChecksum) {
    FrameContext sender = context_of(1), receiver = context_of(2);
    sender.integrity = receiver.integrity = Integrity::checksum;
    const std::vector<std::byte> payload(37, std::byte{0xa5});
    std::vector<std::byte> frame(kHeaderSize);
    encode_frame(sender, kThere, kHere, data_header(37), payload, frame);
    frame.insert(frame.end(), payload.begin(), payload.end());
    ASSERT_TRUE(std::holds_alternative<DecodedFrame>(decode_frame(receiver, frame)));
    for (std::size_t bit = 8 * field::kKind; bit < 8 * frame.size(); ++bit) {
        frame[bit / 8] ^= std::byte{1} << bit % 8;
        EXPECT_TRUE(std::holds_alternative<NotOurs>(decode_frame(receiver, frame))) << bit;
        frame[bit / 8] ^= std::byte{1} << bit % 8;
    }
}

TEST(Frame, ChecksumIsRequiredWhereItWasAgreed) {
    FrameContext receiver = context_of(2);
    receiver.integrity = Integrity::checksum;
    const auto result = decode_frame(receiver, encoded(data_header(3), 3));
    ASSERT_TRUE(std::holds_alternative<NotOurs>(result));
    EXPECT_EQ(std::get<NotOurs>(result), NotOurs::unprotected);
}

TEST(Frame, SealedPayloadIsLongerThanItSays) {
    FrameContext sender = context_of(1), receiver = context_of(2);
    sender.integrity = receiver.integrity = Integrity::sealed;
    sender.seal_overhead = receiver.seal_overhead = 24;
    const std::vector<std::byte> payload(10);
    std::vector<std::byte> frame(kHeaderSize);
    encode_frame(sender, kThere, kHere, data_header(10), payload, frame);
    frame.resize(frame.size() + 10 + 24);
    const auto result = decode_frame(receiver, frame);
    const auto* decoded = std::get_if<DecodedFrame>(&result);
    ASSERT_NE(decoded, nullptr);
    EXPECT_EQ(decoded->payload.size(), 34u);
    EXPECT_EQ(decoded->authenticated.size(), kMtuOverhead);
    frame.pop_back();
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode_frame(receiver, frame)));
}

TEST(Frame, AckTellsAllThatArrivedAndWhatCameTwice) {
    FrameHeader ack;
    ack.kind = FrameKind::ack;
    ack.from = NodeId{1};
    ack.to = NodeId{2};
    ack.sender = LinkIncarnation{1};
    ack.receiver = LinkIncarnation{2};
    ack.acknowledged = 7;
    ack.selective = 5;
    ack.doubled = 0xfffe;
    const auto frame = encoded(ack, 16);
    const auto result = decode(frame);
    const auto* decoded = std::get_if<DecodedFrame>(&result);
    ASSERT_NE(decoded, nullptr);
    EXPECT_EQ(decoded->header, ack);
    Acknowledgement told;
    read_acknowledgement(decoded->header, decoded->payload, told);
    EXPECT_EQ(told.below, 7u);
    EXPECT_EQ(told.selective, (Selective{5, 0x5a5a5a5a5a5a5a5a, 0x5a5a5a5a5a5a5a5a, 0}));
    EXPECT_EQ(told.doubled, 0xfffe);
    for (std::size_t size : {7, 9, 32})
        EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(ack, size)))) << size;
    ack.scope = AckScope::part;
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(ack, 0)))) << "nothing tells more";
}

TEST(Frame, HelloCarriesNothing) {
    FrameHeader hello;
    hello.kind = FrameKind::hello;
    hello.from = NodeId{1};
    hello.to = NodeId{2};
    hello.sender = LinkIncarnation{1};
    hello.mtu = 9000;
    EXPECT_TRUE(std::holds_alternative<DecodedFrame>(decode(encoded(hello, 0))));
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(hello, 1))));
    hello.mtu = 0;
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(hello, 0))));
    hello.mtu = 9000;
    hello.sender = LinkIncarnation{};
    EXPECT_TRUE(std::holds_alternative<NotOurs>(decode(encoded(hello, 0))));
}

}  // namespace
}  // namespace vsmp::fabric
