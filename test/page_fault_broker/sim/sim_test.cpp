// The seeded simulation. --seed=S runs that seed only, --seeds=N that many, --events=N makes runs
// longer (the nightly form: --seeds=1000 --events=100000), --trace shows every event. A failure
// tells how to see it again.
#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <memory>

#include "cluster.hpp"

namespace vsmp::coherence::sim {
namespace {

using namespace std::chrono_literals;

struct Flags {
    std::uint64_t seed = 0;  // 0: seeds 1 to `seeds`
    std::uint64_t seeds = 96;
    std::uint64_t events = 20'000;
    bool trace = false;
};
Flags flags;  // of main(), for the tests below

TEST(Simulation, KeepsMemoryCoherentAndEveryInstructionEnds) {
    Outcome sum;
    std::size_t most_nodes = 0;
    const std::uint64_t first = flags.seed ? flags.seed : 1;
    const std::uint64_t last = flags.seed ? flags.seed : flags.seeds;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        Options options = random_options(seed);
        options.events = flags.events;
        options.trace = flags.trace;
        most_nodes = std::max(most_nodes, options.nodes);
        const Outcome outcome = Cluster{options}.run();
        ASSERT_EQ(outcome.problem, "")
            << "see it again with --seed=" << seed << " --events=" << flags.events << " --trace";
        EXPECT_GT(outcome.instructions, 0u) << "seed " << seed;
        sum.events += outcome.events;
        sum.instructions += outcome.instructions;
        sum.misses += outcome.misses;
        sum.evicted += outcome.evicted;
        sum.revalidated += outcome.revalidated;
        sum.longest_instruction = std::max(sum.longest_instruction, outcome.longest_instruction);
    }
    std::cout
        << "    seeds " << first << " to " << last << ", up to " << most_nodes
        << " nodes: " << sum.events << " events, " << sum.instructions << " instructions, "
        << sum.misses << " misses, " << sum.evicted << " evictions, " << sum.revalidated
        << " copies still good; the longest instruction took "
        << std::chrono::duration_cast<std::chrono::milliseconds>(sum.longest_instruction).count()
        << " ms of simulated time\n";
}

TEST(Simulation, IsTheSameEveryTime) {
    for (const std::uint64_t seed : {5, 7}) {  // over fabrics, and masked
        const Outcome once = Cluster{random_options(seed)}.run();
        const Outcome again = Cluster{random_options(seed)}.run();
        EXPECT_EQ(once.events, again.events);
        EXPECT_EQ(once.instructions, again.instructions);
        EXPECT_EQ(once.longest_instruction, again.longest_instruction);
    }
}

// One page beyond what a node is home of is the least that a limit may leave: every page that is
// obtained takes the place of another.
Options room_for_one_page(std::size_t nodes) {
    return {.nodes = nodes, .pages_per_node = 3, .spare_pages = 1, .prefetches = 0.1};
}

TEST(Simulation, NodesWithRoomForOnePageGetOn) {
    for (const std::size_t nodes : {2, 3, 4, 8, 16, 64}) {
        const Outcome outcome = Cluster{room_for_one_page(nodes)}.run();
        EXPECT_EQ(outcome.problem, "") << nodes << " nodes";
        EXPECT_GT(outcome.evicted, outcome.misses / 4) << nodes << " nodes";
    }
}

// Node 0 writes all pages in order, again and again, the others read them; each has room for the
// smaller part.
TEST(Simulation, ScansOverMoreThanFitsGetOn) {
    constexpr std::size_t kPages = 96;
    for (const std::size_t nodes : {2, 3, 4}) {
        for (const NetworkKind network : {NetworkKind::masked, NetworkKind::fabrics}) {
            auto next = std::make_shared<std::vector<std::size_t>>(nodes);
            const auto scan = [=](std::size_t vcpu) {
                const std::size_t page = (*next)[vcpu]++ % (nodes * kPages);
                return Instruction{{page, vcpu == 0 ? Access::write : Access::read}};
            };
            const Outcome outcome = Cluster{
                {.nodes = nodes,
                 .pages_per_node = kPages,
                 .spare_pages = 40 * (nodes - 1),
                 .network = network,
                 .wire = {.jitter = 20us, .loss = 0.01, .doubled = 0.01, .delayed = 0.01},
                 .think = 4us,
                 .load = scan}}.run();
            EXPECT_EQ(outcome.problem, "") << nodes << " nodes";
            EXPECT_GT(outcome.evicted, 0u) << nodes << " nodes";
            EXPECT_GT(outcome.passing, 0u) << nodes << " nodes";
        }
    }
}

// All vCPUs write one page all the time, after each has fetched some pages that nobody else wants.
// The least that one got done, over a fair share.
double least_share(Options options) {
    constexpr std::size_t kOwn = 16, kStride = 3;  // no neighbours: nothing is read ahead
    constexpr std::size_t kPages = 1 + kStride * kOwn;
    auto done = std::make_shared<std::vector<std::uint64_t>>(options.nodes);
    options.events = 100'000;
    options.pages_per_node = kPages;
    options.think = 4us;
    options.load = [done, nodes = options.nodes](std::size_t vcpu) {
        const std::size_t number = (*done)[vcpu]++;
        const std::size_t own = (vcpu + 1) % nodes * kPages + 1 + kStride * number;
        return Instruction{{number < kOwn ? own : 0, Access::write}};
    };
    const Outcome outcome = Cluster{options}.run();
    EXPECT_EQ(outcome.problem, "");
    EXPECT_GT(outcome.instructions, options.nodes);
    return static_cast<double>(*std::ranges::min_element(*done)) *
           static_cast<double>(options.nodes) / static_cast<double>(outcome.instructions);
}

// Home serves those who wait in turn, and a hold is as long for each of them.
TEST(Simulation, APageThatAllWriteIsSharedFairly) {
    for (const std::size_t nodes : {2, 4, 16, 64})
        EXPECT_GE(least_share({.nodes = nodes}), 0.5) << nodes << " nodes";
}

// The hold begins when its thread runs.
TEST(Simulation, AVcpuThatWakesUpAfterItsHoldHasAFairShareToo) {
    for (const std::size_t nodes : {2, 4, 16})
        EXPECT_GE(least_share({.nodes = nodes, .slow_reaction = 250us, .hold = 50us}), 0.5)
            << nodes << " nodes";
}

TEST(Simulation, AHoldShorterThanAHandOverIsAsFair) {
    for (const std::size_t nodes : {2, 4, 16})
        EXPECT_GE(
            least_share({.nodes = nodes, .wire = {.latency = 40us, .jitter = 40us}, .hold = 1us}),
            0.5)
            << nodes << " nodes";
}

// What is broken on purpose has to be found, or silence means nothing.
std::string problem_with(Mutation mutation, Options options) {
    options.mutation = mutation;
    return Cluster{options}.run().problem;
}
Options four_nodes() {
    return {.nodes = 4, .vcpus_per_node = 2, .most_pages_at_once = 2, .wire = {.jitter = 20us}};
}
Options four_small_nodes() {
    Options options = four_nodes();
    options.spare_pages = 5;
    return options;
}

TEST(SimulationMutations, TheClustersAreSoundWithoutOne) {
    EXPECT_EQ(problem_with(Mutation::none, four_nodes()), "");
    EXPECT_EQ(problem_with(Mutation::none, four_small_nodes()), "");
}

TEST(SimulationMutations, AForgottenSharerIsFound) {
    EXPECT_EQ(problem_with(Mutation::forget_sharer, four_nodes()), "a reader beside a writer");
}

TEST(SimulationMutations, ALostInvalidationIsFound) {
    EXPECT_EQ(problem_with(Mutation::lose_invalidation, four_nodes()),
              "ends with a vCPU that waits for ever");
}

TEST(SimulationMutations, AGrantBeforeTheAcksIsFound) {
    EXPECT_EQ(problem_with(Mutation::grant_before_acks, four_nodes()), "a reader beside a writer");
}

TEST(SimulationMutations, ALostDirtyPageIsFound) {
    EXPECT_EQ(problem_with(Mutation::lose_dirty_page, four_small_nodes()),
              "a node may use old contents");
}

TEST(SimulationMutations, RevalidationWithAnOldVersionIsFound) {
    EXPECT_EQ(problem_with(Mutation::revalidate_old, four_nodes()), "a node may use old contents");
}

TEST(SimulationMutations, APageTooManyIsFound) {
    EXPECT_EQ(problem_with(Mutation::exceed_limit, four_small_nodes()),
              "more resident pages than the limit");
}

TEST(SimulationMutations, AMissingHoldIsFound) {
    Options options{.nodes = 6,
                    .pages_per_node = 2,
                    .most_pages_at_once = 12,
                    .wire = {.latency = 2us},
                    .reaction = 100us,
                    .hold = 120us,
                    .think = 0us};
    const Outcome with = Cluster{options}.run();
    options.mutation = Mutation::no_hold;
    const Outcome without = Cluster{options}.run();
    EXPECT_EQ(with.problem, "");
    EXPECT_LT(5 * without.instructions, with.instructions)
        << "so much work should not get done without holds";
}

}  // namespace
}  // namespace vsmp::coherence::sim

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    CLI::App app{"Simulation of the coherence protocol"};
    auto& flags = vsmp::coherence::sim::flags;
    app.add_option("--seed", flags.seed, "run this seed only");
    app.add_option("--seeds", flags.seeds, "so many seeds, from 1 on")->capture_default_str();
    app.add_option("--events", flags.events, "events per run")->capture_default_str();
    app.add_flag("--trace", flags.trace, "show every event");
    CLI11_PARSE(app, argc, argv);
    return RUN_ALL_TESTS();
}
