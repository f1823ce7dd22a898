// The seeded simulation. --seed=S runs that seed only, --events=N makes runs longer, --trace shows
// every event. A failure tells how to see it again.
#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <numeric>

#include "cluster.hpp"

namespace vsmp::coherence::sim {
namespace {

struct Flags {
    std::uint64_t seed = 0;  // 0: seeds 1 to kSeeds
    std::uint64_t events = 20'000;
    bool trace = false;
};
Flags flags;  // of main(), for the tests below
constexpr std::uint64_t kSeeds = 40;

TEST(Simulation, KeepsMemoryCoherentAndEveryInstructionEnds) {
    std::uint64_t events = 0, instructions = 0;
    Duration longest{};
    const std::uint64_t first = flags.seed ? flags.seed : 1;
    const std::uint64_t last = flags.seed ? flags.seed : kSeeds;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        Options options = random_options(seed);
        options.events = flags.events;
        options.trace = flags.trace;
        const Outcome outcome = Cluster{options}.run();
        ASSERT_EQ(outcome.problem, "")
            << "see it again with --seed=" << seed << " --events=" << flags.events << " --trace";
        EXPECT_GT(outcome.instructions, 0u);
        events += outcome.events;
        instructions += outcome.instructions;
        longest = std::max(longest, outcome.longest_instruction);
    }
    std::cout << "    " << events << " events, " << instructions
              << " instructions, the longest took "
              << std::chrono::duration_cast<std::chrono::milliseconds>(longest).count()
              << " ms of simulated time\n";
}

TEST(Simulation, IsTheSameEveryTime) {
    const Outcome once = Cluster{random_options(7)}.run();
    const Outcome again = Cluster{random_options(7)}.run();
    EXPECT_EQ(once.events, again.events);
    EXPECT_EQ(once.instructions, again.instructions);
    EXPECT_EQ(once.longest_instruction, again.longest_instruction);
}

TEST(Simulation, FindsAForgottenSharer) {
    Options options = random_options(1);
    options.mutation = Mutation::forget_sharer;
    EXPECT_EQ(Cluster{options}.run().problem, "a reader beside a writer");
}

TEST(Simulation, FindsAMissingHold) {
    using namespace std::chrono_literals;
    Options options{.nodes = 6,
                    .vcpus_per_node = 1,
                    .pages = 12,
                    .most_pages_at_once = 12,
                    .ships = 0,
                    .network = 2us,
                    .reaction = 100us,
                    .hold = 120us,
                    .think = 0us};
    const Outcome with = Cluster{options}.run();
    options.mutation = Mutation::no_hold;
    const Outcome without = Cluster{options}.run();
    EXPECT_EQ(with.problem, "");
    EXPECT_LT(100 * without.instructions, with.instructions)
        << "so much work should not get done without holds";
}

TEST(Simulation, SixNodesThatFightOverTwoPagesComeToAnEnd) {
    // With limits that differed by node and grew to a bound, this run went round for ever.
    Options options = random_options(10);
    options.events = 60'000;
    EXPECT_EQ(Cluster{options}.run().problem, "");
}

}  // namespace
}  // namespace vsmp::coherence::sim

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    CLI::App app{"Simulation of the coherence protocol"};
    auto& flags = vsmp::coherence::sim::flags;
    app.add_option("--seed", flags.seed, "run this seed only");
    app.add_option("--events", flags.events, "events per run");
    app.add_flag("--trace", flags.trace, "show every event");
    CLI11_PARSE(app, argc, argv);
    return RUN_ALL_TESTS();
}
