// Paths of a link: sizes of frames, several of them, one that goes silent.
#include <algorithm>

#include "test/dpdk_transport/link_fixture.hpp"

namespace vsmp::fabric {
namespace {

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

}  // namespace
}  // namespace vsmp::fabric
