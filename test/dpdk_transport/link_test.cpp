#include "dpdk_transport/core/link.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

ByteView view(const std::string& text) {
    return std::as_bytes(std::span{text});
}

LinkTiming small_timing() {
    LinkTiming timing;
    timing.window = 8;
    timing.high_water = 4;
    timing.queue_limit = 6;
    return timing;
}

// Two ends and a clock; frames go only when the test lets them.
class LinkTest : public testing::Test {
  protected:
    struct Wire {
        FrameHeader header;
        std::vector<std::byte> payload;
    };

    std::vector<Wire> sent_by(Link& link) {
        std::vector<Wire> frames;
        link.tick(now);
        while (const auto outgoing = link.next(now)) {
            frames.push_back(
                {outgoing->header, {outgoing->payload.begin(), outgoing->payload.end()}});
            link.transmitted(now);
        }
        return frames;
    }
    void give(Link& link, const Wire& frame) {
        link.receive(frame.header, frame.payload, now, [&](Channel, ByteView payload) {
            std::string text;
            for (std::byte byte : payload) text += static_cast<char>(byte);
            got.push_back(text);
        });
    }
    void give(Link& link, const std::vector<Wire>& frames) {
        for (const Wire& frame : frames) give(link, frame);
    }
    void connect() {
        give(b, sent_by(a));
        give(a, sent_by(b));
        give(b, sent_by(a));
        ASSERT_EQ(a.state(), PeerState::up);
        ASSERT_EQ(b.state(), PeerState::up);
        sent_by(b);
        ASSERT_TRUE(sent_by(a).empty());
    }
    void send(Link& link, const std::string& text) { link.send(Channel::test, view(text), {}); }

    Instant now{1h};
    LinkTiming timing = small_timing();
    Link a{{NodeId{0}, NodeId{1}, LinkIncarnation{11}}, timing};
    Link b{{NodeId{1}, NodeId{0}, LinkIncarnation{22}}, timing};
    std::vector<std::string> got;
};

TEST_F(LinkTest, HandshakeSurvivesLostFrames) {
    sent_by(a);  // lost
    give(a, sent_by(b));
    sent_by(a);  // lost: the welcome
    EXPECT_EQ(b.state(), PeerState::connecting);
    now += timing.hello_interval;
    connect();
}

TEST_F(LinkTest, HelloIsRepeatedWithItsIntervalOnly) {
    EXPECT_EQ(sent_by(a).size(), 1u);
    EXPECT_EQ(a.next_deadline(), now + timing.hello_interval);
    now += timing.hello_interval - 1ns;
    EXPECT_TRUE(sent_by(a).empty());
    now += 1ns;
    EXPECT_EQ(sent_by(a).size(), 1u);
}

TEST_F(LinkTest, MessagesSentBeforeThePeerIsUpWait) {
    send(a, "early");
    connect();
    EXPECT_EQ(got, std::vector<std::string>{"early"});
}

TEST_F(LinkTest, HeadAndBodyArriveAsOnePayload) {
    connect();
    a.send(Channel::test, view("head,"), view("body"));
    give(b, sent_by(a));
    EXPECT_EQ(got, std::vector<std::string>{"head,body"});
}

TEST_F(LinkTest, ReorderedAndDoubledFramesArriveInOrderOnce) {
    connect();
    for (const char* text : {"1", "2", "3", "4"}) send(a, text);
    const auto frames = sent_by(a);
    for (std::size_t i : {3, 1, 1, 0, 2, 3, 0}) give(b, frames[i]);
    EXPECT_EQ(got, (std::vector<std::string>{"1", "2", "3", "4"}));
    EXPECT_EQ(b.counters().duplicates, 3u);
    EXPECT_EQ(b.counters().out_of_order, 2u);
}

TEST_F(LinkTest, AcknowledgementRidesOnDataThatFlowsBack) {
    connect();
    send(a, "ping");
    give(b, sent_by(a));
    send(b, "pong");
    const auto frames = sent_by(b);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].header.kind, FrameKind::data);
    EXPECT_EQ(frames[0].header.acknowledged, 1u);
    now += timing.ack_delay;
    EXPECT_TRUE(sent_by(b).empty());
}

TEST_F(LinkTest, AcknowledgementGoesAloneWhenNoDataCame) {
    connect();
    for (const char* text : {"1", "2", "3"}) send(a, text);
    give(b, sent_by(a));
    EXPECT_TRUE(sent_by(b).empty());
    EXPECT_EQ(b.next_deadline(), now + timing.ack_delay);
    now += timing.ack_delay;
    const auto frames = sent_by(b);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].header.kind, FrameKind::ack);
    give(a, frames);
    EXPECT_EQ(a.next_deadline(), std::nullopt);
}

TEST_F(LinkTest, DelayedAcknowledgementGoesAtItsTime) {
    connect();
    send(a, "1");
    give(b, sent_by(a));
    now += timing.ack_delay;
    EXPECT_EQ(sent_by(b).size(), 1u);
}

TEST_F(LinkTest, LostFrameIsSentAgainAfterTheTimeoutWhichDoubles) {
    connect();
    send(a, "1");
    EXPECT_EQ(sent_by(a).size(), 1u);
    now += timing.rto_initial - 1ns;
    EXPECT_TRUE(sent_by(a).empty());
    now += 1ns;
    EXPECT_EQ(sent_by(a).size(), 1u);
    now += 2 * timing.rto_initial - 1ns;
    EXPECT_TRUE(sent_by(a).empty());
    now += 1ns;
    const auto again = sent_by(a);
    ASSERT_EQ(again.size(), 1u);
    give(b, again);
    EXPECT_EQ(got, std::vector<std::string>{"1"});
    EXPECT_EQ(a.counters().retransmissions, 2u);
}

TEST_F(LinkTest, GapIsFilledFastOnceThreeLaterFramesArrived) {
    connect();
    for (const char* text : {"1", "2", "3", "4"}) send(a, text);
    const auto frames = sent_by(a);
    for (std::size_t i : {1, 2}) give(b, frames[i]);
    now += 1ms;
    give(a, sent_by(b));
    EXPECT_TRUE(sent_by(a).empty()) << "two could be reordering";
    give(b, frames[3]);
    give(a, sent_by(b));
    const auto again = sent_by(a);
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0].header.sequence, 0u);
    give(b, again);
    EXPECT_EQ(got.size(), 4u);
}

TEST_F(LinkTest, TimeoutAdaptsToTheRoundTripAndHasAFloor) {
    connect();
    for (int i = 0; i < 30; ++i) {
        send(a, "x");
        const auto frames = sent_by(a);
        now += 100us;
        give(b, frames);
        now += timing.ack_delay;
        give(a, sent_by(b));
    }
    send(a, "lost");
    sent_by(a);
    EXPECT_EQ(a.next_deadline(), now + timing.rto_min);
}

TEST_F(LinkTest, WindowOpensAsFramesAreAcknowledged) {
    connect();
    for (int i = 0; i < 6; ++i) send(a, std::to_string(i));
    auto frames = sent_by(a);
    for (int i = 6; i < 12; ++i) send(a, std::to_string(i));
    EXPECT_TRUE(a.congested());
    const auto more = sent_by(a);
    EXPECT_EQ(more.size(), 2u) << "window of 8";
    give(b, frames);
    give(b, more);
    now += timing.ack_delay;
    give(a, sent_by(b));
    EXPECT_EQ(sent_by(a).size(), 4u);
    EXPECT_FALSE(a.congested());
}

TEST_F(LinkTest, FullQueueEndsTheLinkAndSaysSo) {
    connect();
    for (int i = 0; i < 6; ++i) send(a, "x");
    EXPECT_EQ(a.state(), PeerState::up);
    send(a, "x");
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 takes no messages: 6 are waiting for it");
    EXPECT_TRUE(sent_by(a).empty());
}

TEST_F(LinkTest, RestartedPeerIsLostNotResynchronised) {
    connect();
    Link again{{NodeId{1}, NodeId{0}, LinkIncarnation{33}}, timing};
    give(a, sent_by(again));
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 has restarted");
}

TEST_F(LinkTest, FramesForAnEarlierIncarnationAreIgnored) {
    connect();
    send(a, "1");
    auto frames = sent_by(a);
    frames[0].header.receiver = LinkIncarnation{21};
    give(b, frames);
    EXPECT_TRUE(got.empty());
    EXPECT_EQ(b.counters().rejected, 1u);
    EXPECT_EQ(b.state(), PeerState::up);
}

TEST_F(LinkTest, AcknowledgementOfWhatWasNeverSentIsRejected) {
    connect();
    send(a, "1");
    give(b, sent_by(a));
    const Instant sent_at = now;
    now += timing.ack_delay;
    auto frames = sent_by(b);
    frames[0].header.acknowledged = 2;
    give(a, frames);
    frames[0].header.acknowledged = 0;
    frames[0].header.selective = 1;
    give(a, frames);
    EXPECT_EQ(a.counters().rejected, 2u);
    EXPECT_EQ(a.next_deadline(), sent_at + timing.rto_initial) << "still in flight";
}

TEST_F(LinkTest, AnotherProtocolVersionIsNamed) {
    a.receive_foreign(7);
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 speaks protocol version 7, this node 2");
}

TEST_F(LinkTest, AnotherProtocolVersionDoesNotHarmALinkThatIsUp) {
    connect();
    a.receive_foreign(7);
    EXPECT_EQ(a.state(), PeerState::up);
}

TEST_F(LinkTest, PeerThatNeverAnswersIsLost) {
    sent_by(a);
    now += timing.connect_timeout - 1ns;
    sent_by(a);
    EXPECT_EQ(a.state(), PeerState::connecting);
    now += 1ns;
    sent_by(a);
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "no answer from node 1 for 60 s");
}

TEST_F(LinkTest, SilentPeerIsLostOnlyWhileSomethingIsUnacknowledged) {
    connect();
    now += 1h;
    a.tick(now);
    EXPECT_EQ(a.state(), PeerState::up);
    send(a, "1");
    const Instant start = now;
    sent_by(a);
    while (a.state() == PeerState::up && now < start + 1min) {
        now = *a.next_deadline();
        sent_by(a);
    }
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_GE(now, start + timing.peer_timeout);
    EXPECT_LE(now, start + timing.peer_timeout + timing.rto_max);
    EXPECT_EQ(a.problem(), "node 1 has been silent for 15 s");
}

TEST_F(LinkTest, NodeThatWasStoppedItselfDoesNotBlameItsPeer) {
    connect();
    send(a, "1");
    const auto frames = sent_by(a);
    now += 1h;
    sent_by(a);
    EXPECT_EQ(a.state(), PeerState::up);
    give(b, frames);
    now += timing.ack_delay;
    give(a, sent_by(b));
    EXPECT_EQ(a.next_deadline(), std::nullopt);
}

TEST_F(LinkTest, PathThatLosesOnlyLargeFramesIsNamed) {
    connect();
    send(a, "never arrives");
    const Instant start = now;
    sent_by(a);
    while (a.state() == PeerState::up && now < start + 5min) {
        now += 1s;
        send(b, "small");
        give(a, sent_by(b));
        now += timing.ack_delay;
        for (Wire frame : sent_by(a)) {
            // Only the acknowledgement gets through.
            frame.header.kind = FrameKind::ack;
            give(b, frame);
        }
    }
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_NE(a.problem().find("9000-byte frames"), std::string::npos);
}

}  // namespace
}  // namespace vsmp::fabric
