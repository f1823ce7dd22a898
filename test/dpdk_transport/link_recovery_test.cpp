// How a link finds out what is lost, and learns how long to wait before it says so.
#include "test/dpdk_transport/link_fixture.hpp"

namespace vsmp::fabric {
namespace {

class LinkRecovery : public LinkTest {
  protected:
    void SetUp() override {
        timing = LinkTiming{};
        left.emplace(LinkIdentity{NodeId{0}, NodeId{1}, LinkIncarnation{1}}, timing);
        right.emplace(LinkIdentity{NodeId{1}, NodeId{0}, LinkIncarnation{2}}, timing);
        settle(*left, *right);
        for (int i = 0; i < 60; ++i) {
            send(*left, "x");
            const Frames frames = sent_by(*left);
            now += kRoundTrip;
            give(*right, frames);
            now += timing.ack_delay;
            give(*left, sent_by(*right));
        }
        got.clear();
    }
    Frames sent_by_left(int count) {
        for (int i = 0; i < count; ++i) send(*left, std::to_string(i));
        return sent_by(*left);
    }
    // Until it sends something again.
    Duration time_until_probe() {
        const Instant start = now;
        for (int i = 0; i < 10; ++i) {
            now = std::max(now, *left->next_deadline());
            if (!(probe = sent_by(*left)).empty()) break;
        }
        return now - start;
    }

    static constexpr Duration kRoundTrip = 100us;
    std::optional<Link> left, right;
    Frames probe;
};

TEST_F(LinkRecovery, LostRetransmissionIsFoundByWhatWasSentAfterIt) {
    const Frames first = sent_by_left(5);
    for (std::size_t i : {1, 2, 3, 4}) give(*right, first[i]);
    now += kRoundTrip;
    give(*left, sent_by(*right));
    ASSERT_EQ(sent_by(*left).size(), 1u);  // lost again
    const Frames later = sent_by_left(3);
    ASSERT_EQ(later.size(), 3u);
    give(*right, later);
    now += kRoundTrip;
    give(*left, sent_by(*right));
    const Frames again = sent_by(*left);
    ASSERT_EQ(again.size(), 1u);
    give(*right, again);
    EXPECT_EQ(got.size(), 8u);
}

TEST_F(LinkRecovery, OneLaterArrivalIsEnoughWithALittleTime) {
    const Frames frames = sent_by_left(2);
    give(*right, frames[1]);
    now += kRoundTrip;
    give(*left, sent_by(*right));
    EXPECT_TRUE(sent_by(*left).empty()) << "it may have been overtaken";
    EXPECT_LT(time_until_probe(), kRoundTrip) << "no timeout is waited for";
    ASSERT_EQ(probe.size(), 1u);
    EXPECT_EQ(probe[0].header.sequence, frames[0].header.sequence);
}

TEST_F(LinkRecovery, FloorOfTheTimeoutFallsWhereProbesAreNeeded) {
    Duration wait = timing.rto_floor;
    for (int i = 0; i < 8; ++i) {
        sent_by_left(1);  // lost
        const Duration now_waited = time_until_probe();
        EXPECT_LE(now_waited, wait);
        wait = now_waited;
        give(*right, probe);
        now += kRoundTrip;
        give(*left, sent_by(*right));
    }
    EXPECT_LT(wait, 2 * kRoundTrip + timing.ack_delay + 100us);
    EXPECT_EQ(left->counters().needless, 0u);
}

TEST_F(LinkRecovery, FloorOfTheTimeoutRisesWhereThePeerWasOffItsCpu) {
    const Frames first = sent_by_left(1);
    EXPECT_EQ(time_until_probe(), timing.rto_floor);
    now += 5ms;
    give(*right, first);
    give(*right, probe);
    give(*left, sent_by(*right));
    EXPECT_EQ(left->counters().needless, 1u);
    sent_by_left(1);
    EXPECT_EQ(time_until_probe(), 4 * timing.rto_floor);
}

TEST_F(LinkRecovery, FramesThatWereOnlyLateMakeItWaitLonger) {
    const auto reordered = [&] {
        const Frames frames = sent_by_left(4);
        for (std::size_t i : {1, 2, 3}) give(*right, frames[i]);
        now += kRoundTrip;
        give(*left, sent_by(*right));
        const Frames again = sent_by(*left);
        give(*right, frames[0]);  // now it comes
        give(*right, again);
        now += kRoundTrip;
        give(*left, sent_by(*right));
        return again.size();
    };
    EXPECT_EQ(reordered(), 1u);
    EXPECT_EQ(left->counters().needless, 1u);
    EXPECT_EQ(reordered(), 0u) << "three that overtook it are no proof any more";
}

TEST_F(LinkRecovery, FilledGapIsAcknowledgedAtOnce) {
    const Frames frames = sent_by_left(3);
    give(*right, frames[1]);
    give(*right, frames[2]);
    sent_by(*right);
    give(*right, frames[0]);
    const Frames answer = sent_by(*right);
    ASSERT_EQ(answer.size(), 1u) << "who has a full window waits for it";
    EXPECT_EQ(answer[0].header.acknowledged, frames[2].header.sequence + 1);
}

TEST_F(LinkRecovery, OthersGoOnBeyondAMissingFrameForAWholeWindow) {
    const Frames first = sent_by_left(1);  // lost, and with it each repetition
    std::size_t arrived = 0;
    for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 32; ++j) send(*left, "x");
        for (const Wire& frame : sent_by(*left)) {
            if (frame.header.sequence == first[0].header.sequence) continue;
            give(*right, frame);
            ++arrived;
        }
        now += kRoundTrip;
        for (const Wire& frame : sent_by(*right)) give(*left, frame);
    }
    EXPECT_GE(arrived, timing.window * 7 / 8 - 1) << "an eighth is kept free of bulk";
    EXPECT_LT(arrived, timing.window);
    const std::uint64_t again = left->counters().retransmissions;
    EXPECT_LE(again, 20u) << "only the one that is missing";
    give(*right, first);
    give(*left, sent_by(*right));
    settle(*left, *right);
    EXPECT_EQ(got.size(), 641u);
    EXPECT_LE(left->counters().retransmissions, again + 1);
}

TEST_F(LinkRecovery, WhatAHeaderHasNoRoomForIsToldByAnAckFrame) {
    sent_by_left(1);  // lost
    for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 32; ++j) send(*left, "x");
        for (const Wire& frame : sent_by(*left))
            if (frame.header.order != 60) give(*right, frame);
        if (i < 3) give(*left, sent_by(*right));
    }
    send(*right, "answer");
    const Frames frames = sent_by(*right);
    ASSERT_EQ(frames.size(), 2u);
    EXPECT_EQ(frames[0].header.kind, FrameKind::data);
    EXPECT_EQ(frames[0].header.scope, AckScope::part);
    EXPECT_EQ(frames[1].header.kind, FrameKind::ack);
    EXPECT_EQ(frames[1].payload.size(), 8u);
}

}  // namespace
}  // namespace vsmp::fabric
