// The policies on simulated guests. Costs in the simulation are those of docs/bench-fault.md; times
// are simulated, so nothing here depends on the machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "locality_ml/policies.hpp"
#include "locality_ml/sim/cluster.hpp"

namespace vsmp::locality::sim {
namespace {

using namespace std::chrono_literals;

SimResult run_under(const char* policy, const NamedWorkload& named, std::uint64_t seed = 1) {
    const auto workload = named.make(seed);
    SimOptions options;
    options.seed = seed;
    return run(
        *workload, [&](const PolicySetup& setup) { return *make_policy(policy, setup); }, options);
}

const NamedWorkload& workload(std::string_view name) {
    for (const NamedWorkload& candidate : workloads())
        if (candidate.name == name) return candidate;
    VSMP_CHECK(false, "no such workload");
}

class EveryWorkload : public testing::TestWithParam<NamedWorkload> {};

TEST_P(EveryWorkload, LearnedIsNoMoreThanATenthSlowerThanTheBestFixedPolicy) {
    Duration best = Duration::max();
    for (const char* fixed : {"always-fetch", "always-ship", "threshold"})
        best = std::min(best, run_under(fixed, GetParam()).time);
    const SimResult learned = run_under("learned", GetParam());
    EXPECT_TRUE(learned.finished);
    EXPECT_LE(learned.time, best + best / 10);
}

TEST_P(EveryWorkload, AtMostAFifthOfThePrefetchedPagesIsWasted) {
    const SimResult learned = run_under("learned", GetParam());
    // A source is stopped by its first few failures; until then there is nothing to divide.
    if (learned.prefetch_used + learned.prefetch_wasted < 50) return;
    EXPECT_LE(5 * learned.prefetch_wasted, learned.prefetch_used + learned.prefetch_wasted);
}

INSTANTIATE_TEST_SUITE_P(Workloads, EveryWorkload, testing::ValuesIn(workloads()),
                         [](const auto& tested) {
                             std::string name{tested.param.name};
                             for (char& c : name)
                                 if (c == '-' || c == '+') c = '_';
                             return name;
                         });

TEST(Learned, IsTwiceAsFastAsAlwaysFetchOnScanAndLock) {
    for (const char* name : {"a", "b"}) {
        const Duration fetch = run_under("always-fetch", workload(name)).time;
        EXPECT_LT(2 * run_under("learned", workload(name)).time, fetch) << name;
    }
}

// The median of five: now and then the two are slow to sort out who works where.
TEST(Learned, PrivateWorkLosesLittleToACompactorBesideIt) {
    const Duration alone = run_under("learned", workload("d")).time;
    std::array<Duration, 5> beside;
    for (std::size_t i = 0; i < beside.size(); ++i)
        beside[i] = run_under("learned", workload("g+d"), i + 1).time;
    std::sort(beside.begin(), beside.end());
    EXPECT_LT(beside[2], alone + alone * 3 / 10);
}

// Whatever a policy does, its next page is elsewhere.
TEST(Learned, ShipsAreBoundedUnderAnAdversary) {
    const auto adversary = make_adversary(60'000);
    const SimResult result =
        run(*adversary, [](const PolicySetup& setup) { return make_learned(setup); }, {});
    EXPECT_TRUE(result.finished);
    EXPECT_LE(result.most_ships_in_a_second, 60u);  // a credit every 20 ms, and a burst
}

// From the first instant on, nothing learned before.
TEST(Learned, HasSettledTwoSecondsAfterAColdStart) {
    for (const char* name : {"c", "d-together", "e-communities", "e-uniform"}) {
        const SimResult result = run_under("learned", workload(name));
        const auto& progress = result.progress;  // every 100 ms
        ASSERT_GE(progress.size(), 8u) << name;
        // The last half is taken for settled.
        const std::size_t half = std::min<std::size_t>(progress.size() / 2, 20);
        const double settled = static_cast<double>(progress.back() - progress[half]) /
                               static_cast<double>(progress.size() - 1 - half);
        double best = 0;
        for (std::size_t i = 1; i <= half; ++i)
            best = std::max(best, static_cast<double>(progress[i] - progress[i - 1]));
        EXPECT_GE(best, 0.9 * settled) << name;
    }
}

TEST(Simulation, SameSeedSameRun) {
    const SimResult one = run_under("learned", workload("g+d"), 5);
    const SimResult two = run_under("learned", workload("g+d"), 5);
    EXPECT_EQ(one.time, two.time);
    EXPECT_EQ(one.ships, two.ships);
    EXPECT_EQ(one.progress, two.progress);
}

}  // namespace
}  // namespace vsmp::locality::sim
