#include "dpdk_transport/core/link.hpp"

#include <gtest/gtest.h>

#include <algorithm>
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
    timing.window = 16;
    timing.high_water = 4;
    timing.queue_limit = 6;
    return timing;
}

// Two ends and a clock; frames go only when the test lets them.
class LinkTest : public testing::Test {
  protected:
    struct Wire {
        std::size_t path = 0;
        FrameHeader header;
        std::vector<std::byte> payload;
    };
    using Frames = std::vector<Wire>;

    Frames sent_by(Link& link) {
        Frames frames;
        link.tick(now);
        while (const Link::Outgoing* outgoing = link.next(now)) {
            frames.push_back({outgoing->path,
                              outgoing->header,
                              {outgoing->payload.begin(), outgoing->payload.end()}});
            link.transmitted(now);
        }
        return frames;
    }
    void give(Link& link, const Wire& frame) {
        link.receive(frame.path, frame.header, frame.payload, now, [&](Channel, ByteView payload) {
            std::string text;
            for (std::byte byte : payload) text += static_cast<char>(byte);
            got.push_back(text);
        });
    }
    void give(Link& link, const Frames& frames) {
        for (const Wire& frame : frames) give(link, frame);
    }
    // Until nobody has anything to say; what `passes` refuses is lost.
    template <class Passes>
    void settle(Link& left, Link& right, Passes passes) {
        for (bool any = true; any;) {
            any = false;
            for (Link* from : {&left, &right}) {
                for (const Wire& frame : sent_by(*from)) {
                    any = true;
                    if (passes(frame)) give(from == &left ? right : left, frame);
                }
            }
        }
    }
    void settle(Link& left, Link& right) {
        settle(left, right, [](const Wire&) { return true; });
    }
    void connect() {
        settle(a, b);
        ASSERT_EQ(a.state(), PeerState::up);
        ASSERT_EQ(b.state(), PeerState::up);
    }
    void send(Link& link, const std::string& text, Channel channel = Channel::test) {
        link.send(channel, view(text), {});
    }

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
    now += timing.rto_min - 1ns;
    EXPECT_TRUE(sent_by(a).empty());
    now += 1ns;
    const auto first_again = sent_by(a);
    ASSERT_EQ(first_again.size(), 1u);
    EXPECT_EQ(first_again[0].header.answer, AckUrgency::now);
    now += 2 * timing.rto_min - 1ns;
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
    EXPECT_EQ(a.next_deadline(), now + timing.rto_min);
    now += timing.rto_min;
    give(b, sent_by(a));
    give(a, sent_by(b));
    for (int i = 0; i < 60; ++i) exchange(8ms);
    send(a, "lost");
    sent_by(a);
    ASSERT_TRUE(a.next_deadline().has_value());
    EXPECT_GE(*a.next_deadline() - now, 9ms);
    EXPECT_LT(*a.next_deadline() - now, 15ms);
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

TEST_F(LinkTest, LargeMessagesAreCutUpForASmallMtu) {
    Link left{{NodeId{0}, NodeId{1}, LinkIncarnation{1}}, timing, {.mtus = {1500}}};
    Link right{{NodeId{1}, NodeId{0}, LinkIncarnation{2}}, timing, {.mtus = {9000}}};
    settle(left, right);
    const std::string page(4112, 'p'), largest(kMaxPayload, 'l');
    send(left, page, Channel::page);
    send(left, largest, Channel::coherence);
    auto frames = sent_by(left);
    EXPECT_EQ(frames.size(), 7u + 3u);
    for (const Wire& frame : frames) EXPECT_LE(frame.payload.size() + kMtuOverhead, 1500u);
    std::ranges::reverse(frames);
    give(right, frames);
    ASSERT_EQ(got.size(), 2u);
    EXPECT_EQ(got[0], page);
    EXPECT_EQ(got[1], largest);
}

TEST_F(LinkTest, BothEndsAgreeOnTheMtuAndProveIt) {
    connect();
    EXPECT_EQ(a.path(0).mtu(), kLargestEthernetPayload);
    EXPECT_FALSE(a.path(0).swallows_large_frames());
    EXPECT_FALSE(a.next_deadline().has_value()) << "no probes once it is proven";
    send(a, std::string(kMaxPayload, 'x'));
    EXPECT_EQ(sent_by(a).size(), 1u);
}

TEST_F(LinkTest, PathThatSwallowsLargeFramesIsFoundAndUsedWithSmallerOnes) {
    const auto carries = [&](const Wire& f) { return f.payload.size() + kMtuOverhead <= 4600; };
    settle(a, b, carries);
    EXPECT_EQ(a.path(0).mtu(), 4500u);
    EXPECT_FALSE(a.path(0).swallows_large_frames()) << "perhaps only a lost probe";
    const Instant start = now;
    while (!a.path(0).swallows_large_frames() && now < start + 2s) {
        now = std::max(now, *a.next_deadline());
        settle(a, b, carries);
    }
    EXPECT_TRUE(a.path(0).swallows_large_frames());
    EXPECT_EQ(a.path(0).agreed_mtu(), kLargestEthernetPayload);
    send(a, std::string(4112, 'p'));
    EXPECT_EQ(sent_by(a).size(), 1u) << "a page fits";
    // Repaired.
    now += 6s;
    settle(a, b);
    EXPECT_FALSE(a.path(0).swallows_large_frames());
    EXPECT_EQ(a.path(0).mtu(), kLargestEthernetPayload);
}

// Two links between two nodes.
class TwoPaths : public LinkTest {
  protected:
    void SetUp() override {
        timing.window = 64;
        timing.high_water = 64;
        timing.queue_limit = 256;
        left.emplace(LinkIdentity{NodeId{0}, NodeId{1}, LinkIncarnation{1}}, timing, both);
        right.emplace(LinkIdentity{NodeId{1}, NodeId{0}, LinkIncarnation{2}}, timing, both);
        settle(*left, *right);
        for (std::size_t i : {0, 1}) ASSERT_EQ(left->path(i).state(), Path::State::alive);
    }
    static bool uses(const Frames& frames, std::size_t path) {
        return std::ranges::any_of(frames, [&](const Wire& f) { return f.path == path; });
    }

    LinkPaths both{.mtus = {9000, 9000}};
    std::optional<Link> left, right;
};

TEST_F(TwoPaths, ShareTheTraffic) {
    for (int i = 0; i < 20; ++i) send(*left, "x");
    const auto frames = sent_by(*left);
    EXPECT_EQ(std::ranges::count_if(frames, [](const Wire& f) { return f.path == 0; }), 10);
}

TEST_F(TwoPaths, OneThatIsBlockedIsLeftOut) {
    for (int i = 0; i < 3; ++i) send(*left, "x");
    left->tick(now);
    for (int i = 0; i < 3; ++i) {
        const Link::Outgoing* outgoing = left->next(now, 0b01);
        ASSERT_NE(outgoing, nullptr);
        EXPECT_EQ(outgoing->path, 1u);
        left->transmitted(now);
    }
    EXPECT_EQ(left->next(now, 0b11), nullptr);
}

TEST_F(TwoPaths, TrafficLeavesADeadOneWithin50Ms) {
    const auto cut = [](const Wire& f) { return f.path == 1; };
    std::size_t sent = 0;
    const auto trickle = [&](Duration for_so_long, auto passes) {
        for (const Instant end = now + for_so_long; now < end; now += 500us) {
            send(*left, std::to_string(sent++));
            settle(*left, *right, passes);
        }
    };
    trickle(20ms, [](const Wire&) { return true; });
    ASSERT_EQ(got.size(), sent);
    trickle(50ms, cut);
    EXPECT_EQ(left->path(0).state(), Path::State::suspect);
    EXPECT_EQ(got.size(), sent) << "nothing lost, nothing late";
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], std::to_string(i));
    // It comes back by itself.
    trickle(300ms, [](const Wire&) { return true; });
    EXPECT_EQ(left->path(0).state(), Path::State::alive);
    EXPECT_EQ(got.size(), sent);
}

TEST_F(TwoPaths, TheLastOneIsNeverGivenUp) {
    send(*left, "1");
    const Instant start = now;
    while (now < start + 3s) {
        now = std::max(now + 1us, *left->next_deadline());
        sent_by(*left);
    }
    EXPECT_TRUE(left->path(0).state() == Path::State::alive ||
                left->path(1).state() == Path::State::alive);
    EXPECT_EQ(left->state(), PeerState::up);
    now += 500ms;
    settle(*left, *right);
    EXPECT_EQ(got, std::vector<std::string>{"1"});
}

TEST_F(TwoPaths, SecondOneIsFoundLater) {
    Link l{{NodeId{0}, NodeId{1}, LinkIncarnation{5}}, timing, both};
    Link r{{NodeId{1}, NodeId{0}, LinkIncarnation{6}}, timing, both};
    settle(l, r, [](const Wire& f) { return f.path == 0; });
    EXPECT_EQ(l.state(), PeerState::up);
    EXPECT_EQ(l.path(1).state(), Path::State::unknown);
    now += 1s;
    settle(l, r);
    EXPECT_EQ(l.path(1).state(), Path::State::alive);
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
    EXPECT_EQ(a.next_deadline(), sent_at + timing.rto_min) << "still in flight";
}

TEST_F(LinkTest, AnotherProtocolVersionIsNamed) {
    a.receive_foreign(7);
    a.receive_foreign(7);
    EXPECT_EQ(a.state(), PeerState::connecting) << "damaged, perhaps";
    a.receive_foreign(7);
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 speaks protocol version 7, this node 2");
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
            frame.header = FrameHeader{.kind = FrameKind::ack,
                                       .from = frame.header.from,
                                       .to = frame.header.to,
                                       .sender = frame.header.sender,
                                       .receiver = frame.header.receiver,
                                       .acknowledged = frame.header.acknowledged,
                                       .credit = frame.header.credit};
            give(b, frame);
        }
    }
    EXPECT_EQ(a.state(), PeerState::lost);
    EXPECT_EQ(a.problem(), "node 1 is heard but what it is sent does not arrive");
}

}  // namespace
}  // namespace vsmp::fabric
