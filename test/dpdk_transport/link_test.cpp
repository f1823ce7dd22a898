// A link over one path: handshake, reliability, order, loss of the peer.
#include <algorithm>

#include "test/dpdk_transport/link_fixture.hpp"

namespace vsmp::fabric {
namespace {

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
    EXPECT_EQ(frames[0].header.ack_delay_us, timing.ack_delay / 1us);
    give(a, frames);
    EXPECT_EQ(a.next_deadline(), std::nullopt);
}

TEST_F(LinkTest, AcknowledgementGoesAtOnceWhenAQuarterOfTheCreditIsUsed) {
    connect();
    for (const char* text : {"1", "2", "3", "4"}) send(a, text);
    give(b, sent_by(a));
    EXPECT_EQ(sent_by(b).size(), 1u);
}

TEST_F(LinkTest, LostFrameIsSentAgainAfterTheTimeoutWhichDoubles) {
    connect();
    send(a, "1");
    EXPECT_EQ(sent_by(a).size(), 1u);
    now += timing.rto_floor - 1ns;
    EXPECT_TRUE(sent_by(a).empty());
    now += 1ns;
    const auto first_again = sent_by(a);
    ASSERT_EQ(first_again.size(), 1u);
    EXPECT_EQ(first_again[0].header.answer, AckUrgency::now);
    now += 2 * timing.rto_floor - 1ns;
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

TEST_F(LinkTest, TimeoutFollowsTheRoundTripDownToItsFloor) {
    connect();
    const auto exchange = [&](Duration latency) {
        send(a, "x");
        const auto frames = sent_by(a);
        now += latency;
        give(b, frames);
        now += timing.ack_delay;  // is not part of the round trip
        give(a, sent_by(b));
    };
    for (int i = 0; i < 60; ++i) exchange(100us);
    EXPECT_NEAR(static_cast<double>(a.round_trip(0) / 1us), 100, 5);
    send(a, "lost");
    sent_by(a);
    EXPECT_EQ(a.next_deadline(), now + timing.rto_floor);
    now += timing.rto_floor;
    give(b, sent_by(a));
    give(a, sent_by(b));
    for (int i = 0; i < 60; ++i) exchange(8ms);
    send(a, "lost");
    sent_by(a);
    ASSERT_TRUE(a.next_deadline().has_value());
    EXPECT_GE(*a.next_deadline() - now, 9ms);
    EXPECT_LT(*a.next_deadline() - now, 18ms) << "two round trips and a delayed answer";
}

TEST_F(LinkTest, BulkLeavesRoomInTheWindowForWhatIsUrgent) {
    connect();
    std::size_t in_flight = 0;
    for (int i = 0; i < 5; ++i) {
        for (int j = 0; j < 4; ++j) send(a, "bulk", Channel::page);
        in_flight += sent_by(a).size();
        if (a.waiting() > 0) break;
    }
    EXPECT_EQ(in_flight, 14u) << "window of 16, an eighth kept free";
    EXPECT_TRUE(a.waiting() > 0);
    send(a, "urgent", Channel::coherence);
    const auto frames = sent_by(a);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].header.channel, Channel::coherence);
}

TEST_F(LinkTest, WindowOpensAsFramesAreAcknowledged) {
    connect();
    Frames frames;
    for (int i = 0; i < 5; ++i) {
        for (int j = 0; j < 4 && a.waiting() < 6; ++j) send(a, "x");
        for (Wire& frame : sent_by(a)) frames.push_back(std::move(frame));
    }
    EXPECT_EQ(frames.size(), 14u);
    EXPECT_TRUE(a.congested());
    give(b, frames);
    now += timing.ack_delay;
    give(a, sent_by(b));
    EXPECT_EQ(sent_by(a).size(), 6u);
    EXPECT_FALSE(a.congested());
}

TEST_F(LinkTest, NoMoreIsSentThanThePeerGrants) {
    Link slow{{NodeId{1}, NodeId{0}, LinkIncarnation{22}},
              timing,
              {.mtus = {9000}, .seal_overhead = 0, .credit = 3}};
    settle(a, slow);
    for (int i = 0; i < 5; ++i) send(a, std::to_string(i), Channel::vcpu);
    auto frames = sent_by(a);
    EXPECT_EQ(frames.size(), 3u);
    slow.grant(0);
    give(slow, frames);
    give(a, sent_by(slow));
    EXPECT_TRUE(sent_by(a).empty()) << "acknowledged, but nothing granted";
    slow.grant(1);
    send(slow, "grants one more");
    give(a, sent_by(slow));
    frames = sent_by(a);
    ASSERT_EQ(frames.size(), 1u);
    // Who sends more than that is not believed.
    frames[0].header.sequence += 1;
    frames[0].header.order += 1;
    give(slow, frames);
    EXPECT_EQ(slow.counters().rejected, 1u);
}

TEST_F(LinkTest, StreamsDoNotWaitForEachOther) {
    connect();
    send(a, "page", Channel::page);
    send(a, "request", Channel::coherence);
    send(a, "interrupt", Channel::vcpu);
    const auto frames = sent_by(a);
    ASSERT_EQ(frames.size(), 3u);
    EXPECT_EQ(frames[2].header.channel, Channel::page) << "urgent first";
    give(b, frames[1]);
    give(b, frames[2]);
    EXPECT_EQ(got, (std::vector<std::string>{"interrupt", "page"}));
    give(b, frames[0]);
    EXPECT_EQ(got.back(), "request");
}

TEST_F(LinkTest, NothingOvertakesTheNodeStream) {
    connect();
    send(a, "address of an APIC", Channel::device);
    send(a, "interrupt", Channel::vcpu);
    send(a, "page", Channel::page);
    auto frames = sent_by(a);
    ASSERT_EQ(frames.size(), 3u);
    give(b, frames[2]);
    give(b, frames[1]);
    EXPECT_TRUE(got.empty());
    give(b, frames[0]);
    EXPECT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0], "address of an APIC");
}

TEST_F(LinkTest, NothingUrgentComesOnlyAfterBulkThatWaitsLonger) {
    connect();
    for (int i = 0; i < 3; ++i) send(a, "bulk", Channel::page);
    send(a, "urgent", Channel::coherence);
    send(a, "node", Channel::device);
    const auto frames = sent_by(a);
    ASSERT_EQ(frames.size(), 5u);
    EXPECT_EQ(frames[0].header.channel, Channel::device);
    EXPECT_EQ(frames[1].header.channel, Channel::coherence);
}

TEST_F(LinkTest, UrgentMessagesDoNotStarveBulk) {
    timing.window = 64;
    timing.queue_limit = 64;
    Link left{{NodeId{0}, NodeId{1}, LinkIncarnation{1}}, timing};
    Link right{{NodeId{1}, NodeId{0}, LinkIncarnation{2}}, timing};
    settle(left, right);
    send(left, "bulk", Channel::page);
    for (int i = 0; i < 40; ++i) send(left, "urgent", Channel::coherence);
    const auto frames = sent_by(left);
    const auto bulk = std::ranges::find_if(
        frames, [](const Wire& f) { return f.header.channel == Channel::page; });
    EXPECT_EQ(bulk - frames.begin(), 16);
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

TEST_F(LinkTest, FramesOfTheLifeBeforeAreStaleAfterReconnection) {
    connect();
    send(b, "of the old link");
    const auto stale = sent_by(b);
    Link again{{NodeId{0}, NodeId{1}, LinkIncarnation{12}, LinkIncarnation{22}}, timing};
    Link restarted{{NodeId{1}, NodeId{0}, LinkIncarnation{33}}, timing};
    give(again, stale);
    settle(again, restarted);
    EXPECT_EQ(again.state(), PeerState::up);
    auto old_hello = stale;
    old_hello[0].header.kind = FrameKind::hello;
    give(again, old_hello);
    EXPECT_EQ(again.state(), PeerState::up);
    EXPECT_TRUE(got.empty());
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
    EXPECT_EQ(a.next_deadline(), sent_at + timing.rto_floor) << "still in flight";
}

TEST_F(LinkTest, AnotherProtocolVersionIsNamed) {
    a.receive_foreign(7);
    a.receive_foreign(7);
    EXPECT_EQ(a.state(), PeerState::connecting) << "damaged, perhaps";
    a.receive_foreign(7);
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 speaks protocol version 7, this node 3");
}

TEST_F(LinkTest, AnotherProtocolVersionDoesNotHarmALinkThatIsUp) {
    connect();
    for (int i = 0; i < 9; ++i) a.receive_foreign(7);
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

TEST_F(LinkTest, PeerThatIsHeardButGetsNothingIsNamed) {
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
            FrameHeader ack;
            ack.kind = FrameKind::ack;
            ack.from = frame.header.from;
            ack.to = frame.header.to;
            ack.sender = frame.header.sender;
            ack.receiver = frame.header.receiver;
            ack.acknowledged = frame.header.acknowledged;
            ack.credit = frame.header.credit;
            frame.header = ack;
            give(b, frame);
        }
    }
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 is heard but what it is sent does not arrive");
}

}  // namespace
}  // namespace vsmp::fabric
