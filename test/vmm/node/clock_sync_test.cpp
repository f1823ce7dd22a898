#include "vmm/node/clock_sync.hpp"

#include <gtest/gtest.h>

namespace vsmp {
namespace {

constexpr std::uint64_t kHere = 1, kThere = 2;  // host ids

template <class Message>
std::vector<std::byte> encoded(const Message& message) {
    std::vector<std::byte> bytes(kClockMessageSize);
    ByteWriter writer{bytes};
    encode(message, writer);
    bytes.resize(writer.size());
    return bytes;
}

// An answer to a ping sent at 1000 on a host whose guest TSC is its own TSC + `offset`.
ClockPong answer(std::uint64_t offset, std::uint64_t way_there) {
    return {.asker_tsc = 1000, .guest_tsc = 1000 + way_there + offset, .host_id = kThere};
}

TEST(ClockCodec, RoundTrip) {
    const auto ping = decode_clock_ping(encoded(ClockPing{0x1122334455667788}));
    ASSERT_TRUE(ping);
    EXPECT_EQ(ping->asker_tsc, 0x1122334455667788u);

    const auto pong = decode_clock_pong(encoded(ClockPong{1, 2, 3, 4}));
    ASSERT_TRUE(pong);
    EXPECT_EQ(pong->asker_tsc, 1u);
    EXPECT_EQ(pong->guest_tsc, 2u);
    EXPECT_EQ(pong->guest_offset, 3u);
    EXPECT_EQ(pong->host_id, 4u);
}

TEST(ClockCodec, RefusesWhatIsNeither) {
    std::vector<std::byte> ping = encoded(ClockPing{5});
    std::vector<std::byte> pong = encoded(ClockPong{1, 2, 3, 4});
    EXPECT_FALSE(decode_clock_pong(ping));
    EXPECT_FALSE(decode_clock_ping(pong));
    EXPECT_FALSE(decode_clock_ping({}));
    EXPECT_FALSE(decode_clock_pong({}));
    EXPECT_FALSE(decode_clock_ping(ByteView{ping}.first(ping.size() - 1)));
    EXPECT_FALSE(decode_clock_pong(ByteView{pong}.first(pong.size() - 1)));
    ping.push_back(std::byte{0});
    pong.push_back(std::byte{0});
    EXPECT_FALSE(decode_clock_ping(ping));
    EXPECT_FALSE(decode_clock_pong(pong));
}

TEST(ClockEstimator, SymmetricRoundTripGivesTheOffset) {
    ClockEstimator clock{kHere};
    clock.on_pong(answer(500'000, 40), 1080);
    EXPECT_EQ(clock.offset(), 500'000u);
    EXPECT_EQ(clock.error_bound(), 40u);
}

TEST(ClockEstimator, OffsetsBelowZeroWrap) {
    ClockEstimator clock{kHere};
    const std::uint64_t offset = 0 - std::uint64_t{700};
    clock.on_pong(answer(offset, 40), 1080);
    EXPECT_EQ(clock.offset(), offset);
}

TEST(ClockEstimator, BelievesTheQuickestAnswerWhereverItComes) {
    ClockEstimator clock{kHere};
    clock.on_pong(answer(500, 10), 1400);  // the way back took 390: far off
    clock.on_pong(answer(500, 11), 1020);
    clock.on_pong(answer(500, 200), 1300);
    EXPECT_EQ(clock.error_bound(), 10u);
    EXPECT_EQ(clock.offset(), 501u);
}

TEST(ClockEstimator, ErrorStaysWithinItsBound) {
    for (std::uint64_t way_there = 0; way_there <= 60; ++way_there) {
        ClockEstimator clock{kHere};
        clock.on_pong(answer(10'000, way_there), 1060);
        const auto error = static_cast<std::int64_t>(clock.offset() - 10'000);
        EXPECT_LE(std::abs(error), static_cast<std::int64_t>(clock.error_bound())) << way_there;
    }
}

TEST(ClockEstimator, SettlesAfterEnoughAnswers) {
    ClockEstimator clock{kHere};
    for (int i = 0; i < 31; ++i) clock.on_pong(answer(0, 10), 1020);
    EXPECT_FALSE(clock.settled());
    clock.on_pong(answer(0, 10), 1020);
    EXPECT_TRUE(clock.settled());
}

TEST(ClockEstimator, NodesOfOneHostTakeTheOffsetExactly) {
    ClockEstimator clock{kThere};
    EXPECT_FALSE(clock.settled());
    ClockPong pong = answer(77, 300);
    pong.guest_offset = 12345;
    clock.on_pong(pong, 9000);
    EXPECT_TRUE(clock.settled());
    EXPECT_EQ(clock.offset(), 12345u);
    EXPECT_EQ(clock.error_bound(), 0u);
}

}  // namespace
}  // namespace vsmp
