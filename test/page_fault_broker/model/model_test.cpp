// The exhaustive check of the coherence protocol. What is modelled is told in world.hpp; what is
// checked in every state is in world.cpp, broken_invariant() and broken_end(). The models are
// chosen to visit, together, some millions of states in less than a minute.
#include <gtest/gtest.h>

#include <iostream>

#include "explorer.hpp"

namespace vsmp::coherence::model {
namespace {

const Instruction kRead{{0, Access::read}};
const Instruction kWrite{{0, Access::write}};
const Instruction kReadOther{{1, Access::read}};
const Instruction kWriteOther{{1, Access::write}};
const Instruction kWriteBoth{{0, Access::write}, {1, Access::write}};
const Instruction kWriteBothReversed{{1, Access::write}, {0, Access::write}};
const Instruction kCopy{{0, Access::read}, {1, Access::write}};
const Instruction kCopyBack{{1, Access::read}, {0, Access::write}};

Finding explore(const Model& model) {
    const Finding finding = Explorer{model}.explore();
    std::cout << "    " << finding << '\n';
    return finding;
}

class Protocol : public testing::TestWithParam<HoldModel> {
  protected:
    void expect_sound(Model model) {
        model.hold = GetParam();
        const Finding finding = explore(model);
        EXPECT_EQ(finding.problem, "") << finding;
        EXPECT_GT(finding.ends, 0u);
    }
};

TEST_P(Protocol, OnePageThreeNodes) {
    expect_sound({.homes = {0}, .vcpus = {0, 1, 2}, .instructions = {kRead, kWrite}, .length = 3});
}

TEST_P(Protocol, OnePageTwoVcpusPerNode) {
    expect_sound({.nodes = 2,
                  .homes = {0},
                  .vcpus = {0, 0, 1, 1},
                  .instructions = {kRead, kWrite},
                  .length = 1});
}

TEST_P(Protocol, OnePageThreeNodesOneWithTwoVcpus) {
    expect_sound(
        {.homes = {0}, .vcpus = {0, 1, 1, 2}, .instructions = {kRead, kWrite}, .length = 1});
}

TEST_P(Protocol, TwoPagesTwoNodes) {
    expect_sound(
        {.nodes = 2,
         .homes = {0, 1},
         .vcpus = {0, 1},
         .instructions = {kRead, kWrite, kReadOther, kWriteOther, kWriteBoth, kCopy, kCopyBack},
         .length = 3});
}

TEST_P(Protocol, TwoPagesThreeNodesEachNeedsBoth) {
    expect_sound({.homes = {0, 1},
                  .vcpus = {0, 1, 2},
                  .instructions = {kWriteBoth, kWriteBothReversed},
                  .length = 1});
}

TEST_P(Protocol, TwoPagesThreeNodesCopying) {
    expect_sound(
        {.homes = {0, 1}, .vcpus = {0, 1, 2}, .instructions = {kCopy, kCopyBack}, .length = 1});
}

// Memory: every page leaves at any moment, comes back, is asked for ahead.
TEST_P(Protocol, EvictionOnePageThreeNodes) {
    expect_sound({.homes = {0},
                  .vcpus = {0, 1, 2},
                  .instructions = {kRead, kWrite},
                  .length = 1,
                  .evictions = 2});
}

TEST_P(Protocol, EvictionOnePageTwoNodesLongPrograms) {
    expect_sound({.nodes = 2,
                  .homes = {0},
                  .vcpus = {0, 1},
                  .instructions = {kRead, kWrite},
                  .length = 3,
                  .evictions = 3});
}

TEST_P(Protocol, EvictionTwoPagesTwoNodes) {
    expect_sound({.nodes = 2,
                  .homes = {0, 1},
                  .vcpus = {0, 1},
                  .instructions = {kRead, kWrite, kReadOther, kWriteOther},
                  .length = 2,
                  .evictions = 2});
}

TEST_P(Protocol, EvictionTwoPagesTwoNodesEachNeedsBoth) {
    expect_sound({.nodes = 2,
                  .homes = {0, 1},
                  .vcpus = {0, 1},
                  .instructions = {kWriteBoth, kWriteBothReversed, kCopy},
                  .length = 1,
                  .evictions = 3});
}

TEST_P(Protocol, PrefetchAndEvictionThreeNodes) {
    expect_sound({.homes = {0},
                  .vcpus = {1, 2},
                  .instructions = {kRead, kWrite},
                  .length = 1,
                  .evictions = 1,
                  .prefetches = 1});
}

TEST_P(Protocol, PrefetchTwoPagesTwoNodes) {
    expect_sound({.nodes = 2,
                  .homes = {0, 1},
                  .vcpus = {0, 1},
                  .instructions = {kWrite, kCopy},
                  .length = 1,
                  .prefetches = 2});
}

INSTANTIATE_TEST_SUITE_P(HoldEndsAnyTime, Protocol, testing::Values(HoldModel::ends_any_time));
INSTANTIATE_TEST_SUITE_P(HoldSlowerThanNetwork, Protocol,
                         testing::Values(HoldModel::slower_than_network));

// Progress with longer programs and more kinds of instructions.
class Progress : public Protocol {};

TEST_P(Progress, TwoPagesThreeNodesEachNeedsBothTwice) {
    expect_sound({.homes = {0, 1},
                  .vcpus = {0, 1, 2},
                  .instructions = {kWriteBoth, kWriteBothReversed},
                  .length = 2});
}

TEST_P(Progress, TwoPagesThreeNodesEveryInstruction) {
    expect_sound({.homes = {0, 1},
                  .vcpus = {0, 1, 2},
                  .instructions = {kRead, kWrite, kReadOther, kWriteBoth, kWriteBothReversed, kCopy,
                                   kCopyBack},
                  .length = 1});
}

TEST_P(Progress, TwoPagesTwoNodesOneWithTwoVcpus) {
    expect_sound({.nodes = 2,
                  .homes = {0, 1},
                  .vcpus = {0, 0, 1},
                  .instructions = {kWriteBoth, kWriteBothReversed},
                  .length = 2});
}

INSTANTIATE_TEST_SUITE_P(HoldSlowerThanNetwork, Progress,
                         testing::Values(HoldModel::slower_than_network));

// The checker has to find what was broken on purpose, or its silence means nothing.
Model three_nodes_one_page(Mutation mutation) {
    return {.homes = {0},
            .vcpus = {0, 1, 2},
            .instructions = {kRead, kWrite},
            .length = 1,
            .mutation = mutation};
}
Model two_nodes_two_pages(Mutation mutation) {
    return {.nodes = 2,
            .homes = {0, 1},
            .vcpus = {0, 1},
            .instructions = {kWriteBoth, kWriteBothReversed},
            .length = 1,
            .mutation = mutation};
}

TEST(Mutations, TheModelsAreSoundWithoutOne) {
    EXPECT_EQ(explore(three_nodes_one_page(Mutation::none)).problem, "");
    EXPECT_EQ(explore(two_nodes_two_pages(Mutation::none)).problem, "");
}

TEST(Mutations, AForgottenSharerIsFound) {
    EXPECT_EQ(explore(three_nodes_one_page(Mutation::forget_sharer)).problem,
              "a reader beside a writer");
}

TEST(Mutations, ALostInvalidationIsFound) {
    EXPECT_EQ(explore(three_nodes_one_page(Mutation::lose_invalidation)).problem,
              "ends with a vCPU that waits for ever");
}

TEST(Mutations, AGrantBeforeTheAcksIsFound) {
    EXPECT_EQ(explore(three_nodes_one_page(Mutation::grant_before_acks)).problem,
              "a reader beside a writer");
}

TEST(Mutations, AMissingHoldIsFound) {
    EXPECT_EQ(explore(two_nodes_two_pages(Mutation::no_hold)).problem,
              "livelock: the machine comes back to where it was");
}

Model with_little_memory(Mutation mutation) {
    return {.homes = {0},
            .vcpus = {0, 1, 2},
            .instructions = {kRead, kWrite},
            .length = 1,
            .evictions = 2,
            .mutation = mutation};
}

TEST(Mutations, ALostDirtyPageIsFound) {
    EXPECT_EQ(explore(with_little_memory(Mutation::lose_dirty_page)).problem,
              "a node may use old contents");
}

TEST(Mutations, RevalidationWithAnOldVersionIsFound) {
    EXPECT_EQ(explore(with_little_memory(Mutation::revalidate_old)).problem,
              "a node may use old contents");
}

TEST(Mutations, AnOfferThatIsNotKeptIsFound) {
    EXPECT_EQ(explore(with_little_memory(Mutation::forget_offer)).problem,
              "a node may use old contents");
}

TEST(Mutations, ADroppedSourceIsFound) {
    EXPECT_EQ(explore(with_little_memory(Mutation::drop_source)).problem,
              "the directory is idle and wrong");
}

// The protocol's own checks stop it.
TEST(MutationsDeathTest, ADoubleGrantAfterABundleIsFound) {
    Model model = with_little_memory(Mutation::grant_twice);
    model.prefetches = 2;
    EXPECT_DEATH(explore(model), "VSMP_CHECK|invariant|check|served|asks");
}

TEST(Packing, LosesNothing) {
    const Model model = three_nodes_one_page(Mutation::none);
    World world = initial_world(model);
    std::vector<Transition> transitions;
    for (std::size_t i = 0;; ++i) {
        EXPECT_EQ(unpack(model, pack(model, world)), world);
        enabled(model, world, transitions);
        if (transitions.empty()) break;
        apply(model, world, transitions[i % transitions.size()]);
    }
    EXPECT_EQ(broken_end(model, world), nullptr);
}

}  // namespace
}  // namespace vsmp::coherence::model
