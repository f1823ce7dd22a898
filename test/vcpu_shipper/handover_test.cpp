#include "vcpu_shipper/core/handover.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace vsmp::shipper {
namespace {

constexpr NodeId kSelf{1}, kOther{2}, kThird{0};
constexpr VcpuId kVcpu{5};
constexpr Interrupt kIrq{InterruptKind::fixed, 0x31, Trigger::edge};

Handover in(Phase phase, NodeId peer, std::uint64_t epoch) {
    Handover state;
    state.phase = phase;
    state.peer = peer;
    state.epoch = Epoch{epoch};
    return state;
}

Event local(EventKind kind, NodeId node = {}) {
    Event event;
    event.kind = kind;
    event.node = node;
    return event;
}

Event raised(Interrupt interrupt) {
    Event event = local(EventKind::raised);
    event.message.interrupt = interrupt;
    return event;
}

Event from(NodeId node, MessageKind kind, std::uint64_t epoch) {
    Event event = local(EventKind::message, node);
    event.message.kind = kind;
    event.message.vcpu = kVcpu;
    event.message.epoch = Epoch{epoch};
    if (kind == MessageKind::interrupt) event.message.interrupt = kIrq;
    return event;
}

std::vector<ActionKind> kinds(const Step& step) {
    std::vector<ActionKind> all;
    for (const Action& action : step.actions) all.push_back(action.kind);
    return all;
}

using Kinds = std::vector<ActionKind>;

TEST(Handover, ShipsAndFollowsUpWithTheInterruptsThatCameMeanwhile) {
    Step s = step(kSelf, kVcpu, initial_handover(kSelf, kSelf),
                  local(EventKind::ship_requested, kOther));
    EXPECT_EQ(kinds(s), Kinds{ActionKind::request_capture});
    s = step(kSelf, kVcpu, s.next, raised(kIrq));
    EXPECT_TRUE(s.actions.empty());
    s = step(kSelf, kVcpu, s.next, local(EventKind::captured));
    EXPECT_EQ(kinds(s), (Kinds{ActionKind::send_state, ActionKind::forward_stash}));
    EXPECT_EQ(s.actions.begin()->to, kOther);
    EXPECT_EQ(s.actions.begin()->message.epoch, Epoch{1});
    InterruptStash expected;
    expected.add(kIrq);
    EXPECT_EQ(s.flushed, expected);
    EXPECT_EQ(s.next, in(Phase::sent, kOther, 1));
    s = step(kSelf, kVcpu, s.next, from(kOther, MessageKind::ship_ack, 1));
    EXPECT_EQ(s.next, in(Phase::away, kOther, 1));
}

TEST(Handover, InstallsThenAcknowledgesAndAnnounces) {
    Step s = step(kSelf, kVcpu, initial_handover(kSelf, kThird),
                  from(kThird, MessageKind::ship_state, 1));
    EXPECT_EQ(kinds(s), Kinds{ActionKind::install});
    s = step(kSelf, kVcpu, s.next, from(kThird, MessageKind::interrupt, 1));
    EXPECT_TRUE(s.actions.empty());
    s = step(kSelf, kVcpu, s.next, local(EventKind::installed));
    EXPECT_EQ(kinds(s), (Kinds{ActionKind::deliver_stash, ActionKind::send, ActionKind::announce}));
    EXPECT_EQ(s.next, in(Phase::here, kSelf, 1));
}

TEST(Handover, RefusedStateGoesBackUnderAHigherEpoch) {
    Step s = step(kSelf, kVcpu, in(Phase::arriving, kOther, 4), raised(kIrq));
    Event failed = local(EventKind::install_failed);
    failed.message.reason = NackReason::cannot_load;
    s = step(kSelf, kVcpu, s.next, failed);
    EXPECT_EQ(kinds(s), (Kinds{ActionKind::send, ActionKind::forward_stash}));
    EXPECT_EQ(s.actions.begin()->message.reason, NackReason::cannot_load);
    EXPECT_EQ(s.next, in(Phase::away, kOther, 5));

    s = step(kOther, kVcpu, in(Phase::sent, kSelf, 4), from(kSelf, MessageKind::ship_nack, 4));
    EXPECT_EQ(kinds(s), Kinds{ActionKind::resume_here});
    EXPECT_EQ(s.next, in(Phase::here, kOther, 5));
}

TEST(Handover, FailedCaptureResumesBeforeItDelivers) {
    Handover leaving = in(Phase::leaving, kOther, 2);
    leaving.stash.add(kIrq);
    const Step s = step(kSelf, kVcpu, leaving, local(EventKind::capture_failed));
    EXPECT_EQ(kinds(s), (Kinds{ActionKind::resume_here, ActionKind::deliver_stash}));
    EXPECT_EQ(s.next, in(Phase::here, kSelf, 2));
}

TEST(Handover, OnlyAVcpuThatIsHereCanBeShippedAndOnlyElsewhere) {
    for (const Phase phase : {Phase::leaving, Phase::sent, Phase::arriving, Phase::away}) {
        const Handover state = in(phase, kOther, 3);
        const Step s = step(kSelf, kVcpu, state, local(EventKind::ship_requested, kThird));
        EXPECT_EQ(kinds(s), Kinds{ActionKind::refuse_ship});
        EXPECT_EQ(s.next, state);
    }
    const Step s =
        step(kSelf, kVcpu, in(Phase::here, kSelf, 3), local(EventKind::ship_requested, kSelf));
    EXPECT_EQ(kinds(s), Kinds{ActionKind::refuse_ship});
}

TEST(Handover, StaleMessagesChangeNothing) {
    for (const Phase phase :
         {Phase::here, Phase::leaving, Phase::sent, Phase::arriving, Phase::away}) {
        for (const MessageKind kind : {MessageKind::ship_state, MessageKind::ship_ack,
                                       MessageKind::ship_nack, MessageKind::location}) {
            const Handover state = in(phase, kOther, 6);
            const Step s = step(kSelf, kVcpu, state, from(kOther, kind, 5));
            EXPECT_TRUE(s.actions.empty());
            EXPECT_EQ(s.next, state);
        }
    }
}

TEST(Handover, AnswersOfANodeThatWasNotAskedChangeNothing) {
    for (const MessageKind kind : {MessageKind::ship_ack, MessageKind::ship_nack}) {
        const Handover state = in(Phase::sent, kOther, 6);
        const Step s = step(kSelf, kVcpu, state, from(kThird, kind, 6));
        EXPECT_TRUE(s.actions.empty());
        EXPECT_EQ(s.next, state);
    }
}

TEST(Handover, ASecondOwnerOrNewsFromTheFutureAreViolations) {
    const auto violates = [](Phase phase, const Event& event) {
        return kinds(step(kSelf, kVcpu, in(phase, kOther, 6), event)) ==
               Kinds{ActionKind::violation};
    };
    for (const Phase phase : {Phase::here, Phase::leaving, Phase::arriving}) {
        EXPECT_TRUE(violates(phase, from(kOther, MessageKind::ship_state, 7)));
        EXPECT_TRUE(violates(phase, from(kOther, MessageKind::location, 7)));
        EXPECT_TRUE(violates(phase, from(kOther, MessageKind::interrupt, 7)));
    }
    for (const Phase phase : {Phase::sent, Phase::away}) {
        EXPECT_TRUE(violates(phase, from(kOther, MessageKind::interrupt, 6)));
        EXPECT_FALSE(violates(phase, from(kOther, MessageKind::interrupt, 5)));
    }
    EXPECT_TRUE(violates(Phase::sent, from(kOther, MessageKind::ship_ack, 7)));
    EXPECT_TRUE(violates(Phase::away, from(kOther, MessageKind::ship_nack, 7)));
}

TEST(Handover, ComesBackByAnotherRouteBeforeTheAnswer) {
    // A to B to C to A, and C's message overtakes B's acknowledgement.
    Step s =
        step(kSelf, kVcpu, in(Phase::sent, kOther, 1), from(kThird, MessageKind::ship_state, 3));
    EXPECT_EQ(kinds(s), Kinds{ActionKind::install});
    s = step(kSelf, kVcpu, s.next, from(kOther, MessageKind::ship_ack, 1));
    EXPECT_EQ(s.next, in(Phase::arriving, kThird, 3));
}

TEST(Handover, ForwardsAlongTheNewestBelief) {
    Step s = step(kSelf, kVcpu, in(Phase::away, kOther, 1), from(kThird, MessageKind::location, 2));
    EXPECT_EQ(s.next, in(Phase::away, kThird, 2));
    s = step(kSelf, kVcpu, s.next, from(kOther, MessageKind::interrupt, 1));
    ASSERT_EQ(kinds(s), Kinds{ActionKind::send});
    EXPECT_EQ(s.actions.begin()->to, kThird);
    EXPECT_EQ(s.actions.begin()->message.epoch, Epoch{2});
    EXPECT_EQ(s.actions.begin()->message.interrupt, kIrq);
}

TEST(HandoverDeathTest, EventsOfOurOwnOutOfPlaceAbort) {
    const Handover here = initial_handover(kSelf, kSelf);
    EXPECT_DEATH((void)step(kSelf, kVcpu, here, local(EventKind::captured)), "not asked for");
    EXPECT_DEATH((void)step(kSelf, kVcpu, here, local(EventKind::installed)), "did not arrive");
}

}  // namespace
}  // namespace vsmp::shipper
