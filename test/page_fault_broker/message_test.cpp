#include "page_fault_broker/core/message.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "page_fault_broker/core/version.hpp"

namespace vsmp::coherence {
namespace {

constexpr std::uint64_t kPages = 1000;
constexpr std::size_t kNodes = 3;

std::vector<std::byte> encoded(const Message& message) {
    std::vector<std::byte> bytes(kMessageHeaderSize + kPageSize);
    ByteWriter writer{bytes};
    encode(message, writer);
    bytes.resize(writer.size() + (message.contents == Contents::page ? kPageSize : 0));
    return bytes;
}

bool accepted(const std::vector<std::byte>& bytes) {
    return decode(bytes, kPages, kNodes).has_value();
}

Message request() {
    return {.kind = MessageKind::read_request, .page = PageNumber{999}, .requester = NodeId{2}};
}
Message grant() {
    return {.kind = MessageKind::exclusive_data,
            .page = PageNumber{5},
            .requester = NodeId{1},
            .acks = 2,
            .contents = Contents::page};
}

TEST(CoherenceMessage, EveryKindSurvivesTheWire) {
    for (std::uint8_t raw = 1; raw <= static_cast<std::uint8_t>(MessageKind::release_refused);
         ++raw) {
        Message message{.kind = static_cast<MessageKind>(raw),
                        .page = PageNumber{0x123},
                        .requester = NodeId{2}};
        if (message.kind == MessageKind::shared_data) message.contents = Contents::zero;
        if (message.kind == MessageKind::exclusive_data) message.contents = Contents::page;
        if (message.kind == MessageKind::upgrade_grant) message.acks = 2;
        if (message.kind == MessageKind::forward_read) message.version = 0x1122334455667788;
        if (message.kind == MessageKind::invalidate_ack) message.waited = true;
        message.hand_over = 0x1234;
        const auto bytes = encoded(message);
        const auto decoded = decode(bytes, kPages, kNodes);
        ASSERT_TRUE(decoded) << int{raw};
        EXPECT_EQ(decoded->message, message) << int{raw};
        EXPECT_EQ(decoded->contents.size(), message.contents == Contents::page ? kPageSize : 0);
    }
}

TEST(CoherenceMessage, HeaderLayoutIsWhatTheCommentSays) {
    Message message = grant();
    message.page = PageNumber{0x0102};
    message.waited = true;
    message.hand_over = 0x0304;
    const auto bytes = encoded(message);
    const std::array<int, kMessageHeaderSize> expected{8, 2, 2, 1, 1, 0, 4, 3, 2, 1};
    for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(std::to_integer<int>(bytes[i]), expected[i]) << i;
}

TEST(CoherenceMessage, ContentsAreTheBytesAfterTheHeader) {
    auto bytes = encoded(grant());
    bytes[kMessageHeaderSize] = std::byte{0xaa};
    const auto decoded = decode(bytes, kPages, kNodes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->contents.data(), bytes.data() + kMessageHeaderSize);
}

TEST(CoherenceMessage, RejectsEveryOtherLength) {
    for (const Message& message : {request(), grant()}) {
        const auto whole = encoded(message);
        for (std::size_t size = 0; size < whole.size(); ++size)
            EXPECT_FALSE(accepted({whole.begin(), whole.begin() + static_cast<long>(size)}));
        auto longer = whole;
        longer.push_back(std::byte{0});
        EXPECT_FALSE(accepted(longer));
    }
}

TEST(CoherenceMessage, RejectsFieldsOutOfRange) {
    struct Case {
        std::size_t offset;
        int value;
    };
    const Case cases[] = {{0, 0}, {0, 14}, {0, 255}, {1, 4}, {3, 3}, {4, 1}, {5, 1}, {15, 1}};
    ASSERT_TRUE(accepted(encoded(request())));
    for (const Case& c : cases) {
        auto bytes = encoded(request());
        bytes[c.offset] = static_cast<std::byte>(c.value);
        EXPECT_FALSE(accepted(bytes)) << c.offset << ' ' << c.value;
    }
    Message message = request();
    message.page = PageNumber{kPages};
    EXPECT_FALSE(accepted(encoded(message)));
}

TEST(CoherenceMessage, RejectsAcksAndContentsWhereTheyDoNotBelong) {
    Message message = grant();
    message.acks = kNodes;
    EXPECT_FALSE(accepted(encoded(message)));
    message = request();
    message.acks = 1;
    EXPECT_FALSE(accepted(encoded(message)));
    message = grant();
    message.version = 1;
    EXPECT_FALSE(accepted(encoded(message)));
    message = request();
    message.contents = Contents::page;
    EXPECT_FALSE(accepted(encoded(message)));
    message = grant();
    message.contents = Contents::none;
    EXPECT_FALSE(accepted(encoded(message)));
}

std::vector<std::byte> bundle_of(std::initializer_list<Message> messages) {
    std::vector<std::byte> bytes;
    for (const Message& message : messages) {
        const auto more = encoded(message);
        bytes.insert(bytes.end(), more.begin(), more.end());
    }
    return bytes;
}

TEST(CoherenceBundle, ComesApartInOrder) {
    const auto bytes = bundle_of({request(), grant(), grant(), request()});
    ByteView rest = bytes;
    for (const Message& expected : {request(), grant(), grant(), request()}) {
        const auto decoded = decode(take_message(rest), kPages, kNodes);
        ASSERT_TRUE(decoded);
        EXPECT_EQ(decoded->message, expected);
        EXPECT_EQ(decoded->contents.size(), expected.contents == Contents::page ? kPageSize : 0);
    }
    EXPECT_TRUE(rest.empty());
}

TEST(CoherenceBundle, WhatIsCutOffIsNoMessage) {
    const auto whole = bundle_of({request(), grant()});
    for (const std::size_t missing :
         {std::size_t{1}, kPageSize, kPageSize + kMessageHeaderSize - 1}) {
        ByteView rest = ByteView{whole}.first(whole.size() - missing);
        EXPECT_TRUE(decode(take_message(rest), kPages, kNodes));
        EXPECT_FALSE(decode(take_message(rest), kPages, kNodes));
        EXPECT_TRUE(rest.empty());
    }
}

TEST(OfferMeter, OffersLessWhenOffersAreNoUseUntilOneIs) {
    OfferMeter meter;
    const auto offers = [&](int requests) {
        int made = 0;
        for (int i = 0; i < requests; ++i) {
            if (!meter.worthwhile()) continue;
            ++made;
            meter.offered();
        }
        return made;
    };
    EXPECT_EQ(offers(64), 64);
    EXPECT_NEAR(offers(6400), 100, 5);
    meter.accepted();
    EXPECT_EQ(offers(64), 64);
}

}  // namespace
}  // namespace vsmp::coherence
