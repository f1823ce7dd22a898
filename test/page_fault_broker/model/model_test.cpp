// The exhaustive check of the coherence protocol. What is modelled is told in world.hpp; what is
// checked in every state is in invariants.cpp, broken_invariant() and broken_end(). The models are
// chosen to visit, together, some millions of states in less than a minute.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <utility>

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

// Each vCPU on the node named, page p at home on node p, as many nodes as that takes.
using Places = std::vector<std::uint8_t>;

std::uint8_t nodes_for(const Places& vcpus) {
    return static_cast<std::uint8_t>(*std::ranges::max_element(vcpus) + 1);
}

Model one_page(const Places& vcpus, std::uint8_t length = 1) {
    return {.nodes = nodes_for(vcpus),
            .homes = {0},
            .vcpus = vcpus,
            .instructions = {kRead, kWrite},
            .length = length};
}

Model two_pages(const Places& vcpus, std::vector<Instruction> instructions,
                std::uint8_t length = 1) {
    return {.nodes = nodes_for(vcpus),
            .homes = {0, 1},
            .vcpus = vcpus,
            .instructions = std::move(instructions),
            .length = length};
}

Model short_of_memory(Model model, std::uint8_t evictions) {
    model.evictions = evictions;
    return model;
}
Model prefetching(Model model, std::uint8_t prefetches) {
    model.prefetches = prefetches;
    return model;
}
Model broken(Model model, Mutation mutation) {
    model.mutation = mutation;
    return model;
}

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
    expect_sound(one_page({0, 1, 2}, 3));
}

TEST_P(Protocol, OnePageTwoVcpusPerNode) {
    expect_sound(one_page({0, 0, 1, 1}));
}

TEST_P(Protocol, OnePageThreeNodesOneWithTwoVcpus) {
    expect_sound(one_page({0, 1, 1, 2}));
}

TEST_P(Protocol, TwoPagesTwoNodes) {
    expect_sound(two_pages(
        {0, 1}, {kRead, kWrite, kReadOther, kWriteOther, kWriteBoth, kCopy, kCopyBack}, 3));
}

TEST_P(Protocol, TwoPagesThreeNodesEachNeedsBoth) {
    expect_sound(two_pages({0, 1, 2}, {kWriteBoth, kWriteBothReversed}));
}

TEST_P(Protocol, TwoPagesThreeNodesCopying) {
    expect_sound(two_pages({0, 1, 2}, {kCopy, kCopyBack}));
}

// Memory: every page leaves at any moment, comes back, is asked for ahead.
TEST_P(Protocol, EvictionOnePageThreeNodes) {
    expect_sound(short_of_memory(one_page({0, 1, 2}), 2));
}

TEST_P(Protocol, EvictionOnePageTwoNodesLongPrograms) {
    expect_sound(short_of_memory(one_page({0, 1}, 3), 3));
}

TEST_P(Protocol, EvictionTwoPagesTwoNodes) {
    expect_sound(
        short_of_memory(two_pages({0, 1}, {kRead, kWrite, kReadOther, kWriteOther}, 2), 2));
}

TEST_P(Protocol, EvictionTwoPagesTwoNodesEachNeedsBoth) {
    expect_sound(short_of_memory(two_pages({0, 1}, {kWriteBoth, kWriteBothReversed, kCopy}), 3));
}

TEST_P(Protocol, PrefetchAndEvictionThreeNodes) {
    expect_sound(prefetching(short_of_memory(one_page({1, 2}), 1), 1));
}

TEST_P(Protocol, PrefetchTwoPagesTwoNodes) {
    expect_sound(prefetching(two_pages({0, 1}, {kWrite, kCopy}), 2));
}

INSTANTIATE_TEST_SUITE_P(HoldEndsAnyTime, Protocol, testing::Values(HoldModel::ends_any_time));
INSTANTIATE_TEST_SUITE_P(HoldSlowerThanNetwork, Protocol,
                         testing::Values(HoldModel::slower_than_network));

// Progress with longer programs and more kinds of instructions.
class Progress : public Protocol {};

TEST_P(Progress, TwoPagesThreeNodesEachNeedsBothTwice) {
    expect_sound(two_pages({0, 1, 2}, {kWriteBoth, kWriteBothReversed}, 2));
}

TEST_P(Progress, TwoPagesThreeNodesEveryInstruction) {
    expect_sound(two_pages(
        {0, 1, 2}, {kRead, kWrite, kReadOther, kWriteBoth, kWriteBothReversed, kCopy, kCopyBack}));
}

TEST_P(Progress, TwoPagesTwoNodesOneWithTwoVcpus) {
    expect_sound(two_pages({0, 0, 1}, {kWriteBoth, kWriteBothReversed}, 2));
}

INSTANTIATE_TEST_SUITE_P(HoldSlowerThanNetwork, Progress,
                         testing::Values(HoldModel::slower_than_network));

// The checker has to find what was broken on purpose, or its silence means nothing.
std::string problem_of(const Model& model, Mutation mutation) {
    return explore(broken(model, mutation)).problem;
}
Model three_nodes_one_page() {
    return one_page({0, 1, 2});
}
Model two_nodes_two_pages() {
    return two_pages({0, 1}, {kWriteBoth, kWriteBothReversed});
}
Model with_little_memory() {
    return short_of_memory(three_nodes_one_page(), 2);
}

TEST(Mutations, TheModelsAreSoundWithoutOne) {
    EXPECT_EQ(explore(three_nodes_one_page()).problem, "");
    EXPECT_EQ(explore(two_nodes_two_pages()).problem, "");
}

TEST(Mutations, AForgottenSharerIsFound) {
    EXPECT_EQ(problem_of(three_nodes_one_page(), Mutation::forget_sharer),
              "a reader beside a writer");
}

TEST(Mutations, ALostInvalidationIsFound) {
    EXPECT_EQ(problem_of(three_nodes_one_page(), Mutation::lose_invalidation),
              "ends with a vCPU that waits for ever");
}

TEST(Mutations, AGrantBeforeTheAcksIsFound) {
    EXPECT_EQ(problem_of(three_nodes_one_page(), Mutation::grant_before_acks),
              "a reader beside a writer");
}

TEST(Mutations, AMissingHoldIsFound) {
    EXPECT_EQ(problem_of(two_nodes_two_pages(), Mutation::no_hold),
              "livelock: the machine comes back to where it was");
}

TEST(Mutations, ALostDirtyPageIsFound) {
    EXPECT_EQ(problem_of(with_little_memory(), Mutation::lose_dirty_page),
              "a node may use old contents");
}

TEST(Mutations, RevalidationWithAnOldVersionIsFound) {
    EXPECT_EQ(problem_of(with_little_memory(), Mutation::revalidate_old),
              "a node may use old contents");
}

TEST(Mutations, AnOfferThatIsNotKeptIsFound) {
    EXPECT_EQ(problem_of(with_little_memory(), Mutation::forget_offer),
              "a node may use old contents");
}

TEST(Mutations, ADroppedSourceIsFound) {
    EXPECT_EQ(problem_of(with_little_memory(), Mutation::drop_source),
              "the directory is idle and wrong");
}

// The protocol's own checks stop it.
TEST(MutationsDeathTest, ADoubleGrantAfterABundleIsFound) {
    const Model model = prefetching(with_little_memory(), 2);
    EXPECT_DEATH(explore(broken(model, Mutation::grant_twice)),
                 "VSMP_CHECK|invariant|check|served|asks");
}

TEST(Packing, LosesNothing) {
    const Model model = three_nodes_one_page();
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
