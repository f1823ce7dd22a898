#include <gtest/gtest.h>

#include "test/vcpu_shipper/handover_model.hpp"

namespace vsmp::shipper::model {
namespace {

struct Case {
    const char* name;
    Bounds bounds;
};

class HandoverModel : public testing::TestWithParam<Case> {};

TEST_P(HandoverModel, HoldsInEveryInterleaving) {
    const Outcome outcome = explore(GetParam().bounds, step);
    std::printf("%s: %zu states, %zu transitions, longest run %u events, at most %u hops\n",
                GetParam().name, outcome.states, outcome.transitions, outcome.longest_path,
                outcome.most_hops);
    EXPECT_FALSE(outcome.failure) << *outcome.failure;
    EXPECT_LE(outcome.most_hops, GetParam().bounds.ships + GetParam().bounds.refusals + 1);
    EXPECT_GT(outcome.states, 1000u);  // it did move
}

INSTANTIATE_TEST_SUITE_P(
    All, HandoverModel,
    testing::Values(
        // A to B to C to A and back, refusals on the way
        Case{"FourShips", {.ships = 4, .interrupts = 2, .vectors = 2, .refusals = 1}},
        Case{"ThreeShipsTwoInterrupts", {.ships = 3, .interrupts = 2, .vectors = 2, .refusals = 2}},
        Case{"TwoShipsThreeInterruptsOfTwoVectors",
             {.ships = 2, .interrupts = 3, .vectors = 2, .refusals = 1}},
        Case{"OneVectorManyTimes", {.ships = 2, .interrupts = 4, .refusals = 1}},
        Case{"Replays", {.ships = 3, .interrupts = 1, .refusals = 1, .replays = 1}},
        Case{"TwoVcpus", {.vcpus = 2, .ships = 3, .interrupts = 2, .vectors = 2, .refusals = 1}}),
    [](const auto& c) { return std::string{c.param.name}; });

// The same bounds for every mutation; the unchanged protocol passes them above.
constexpr Bounds kMutationBounds{.ships = 3, .interrupts = 1, .refusals = 1};

Step without(const Step& step, ActionKind kind) {
    Step changed = step;
    changed.actions = {};
    for (const Action& action : step.actions)
        if (action.kind != kind) changed.actions.push(action);
    return changed;
}

void expect_caught(const StepFunction& mutation, const char* failure) {
    const Outcome outcome = explore(kMutationBounds, mutation);
    ASSERT_TRUE(outcome.failure) << "not noticed in " << outcome.states << " states";
    EXPECT_EQ(outcome.failure->substr(0, std::string_view{failure}.size()), failure);
}

TEST(HandoverMutation, ResumingAtTheSourceAfterSendingIsCaught) {
    expect_caught(
        [](NodeId self, VcpuId vcpu, const Handover& state, const Event& event) {
            Step changed = step(self, vcpu, state, event);
            if (event.kind == EventKind::captured) {
                Action resume;
                resume.kind = ActionKind::resume_here;
                changed.actions.push(resume);
            }
            return changed;
        },
        "a vCPU runs on two nodes");
}

TEST(HandoverMutation, DroppingTheStashOnDepartureIsCaught) {
    expect_caught(
        [](NodeId self, VcpuId vcpu, const Handover& state, const Event& event) {
            const Step unchanged = step(self, vcpu, state, event);
            return event.kind == EventKind::captured ? without(unchanged, ActionKind::forward_stash)
                                                     : unchanged;
        },
        "an interrupt was lost or doubled");
}

TEST(HandoverMutation, BelievingAnOlderLocationIsCaught) {
    expect_caught(
        [](NodeId self, VcpuId vcpu, const Handover& state, const Event& event) {
            Step changed = step(self, vcpu, state, event);
            if (event.kind == EventKind::message && event.message.kind == MessageKind::location &&
                state.phase == Phase::away) {
                changed.next.peer = event.node;
                changed.next.epoch = event.message.epoch;
            }
            return changed;
        },
        "a node saw a protocol violation");
}

// Why only the node that has the vCPU may say where it is.
TEST(HandoverMutation, AnnouncingTheDestinationBeforeItArrivedIsCaught) {
    expect_caught(
        [](NodeId self, VcpuId vcpu, const Handover& state, const Event& event) {
            Step changed = step(self, vcpu, state, event);
            // As if node 0's ship_state had told everybody: they believe the new place at once,
            // and their interrupts overtake the state.
            if (event.kind == EventKind::raised && state.phase == Phase::away &&
                state.epoch == Epoch{0} && self == NodeId{2}) {
                changed = {};
                changed.next = state;
                changed.next.peer = NodeId{1};
                changed.next.epoch = Epoch{1};
                Action send{ActionKind::send, NodeId{1}, event.message};
                send.message.kind = MessageKind::interrupt;
                send.message.vcpu = vcpu;
                send.message.epoch = Epoch{1};
                changed.actions.push(send);
            }
            return changed;
        },
        "a node saw a protocol violation");
}

}  // namespace
}  // namespace vsmp::shipper::model
