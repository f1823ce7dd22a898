#include "locality_ml/policies.hpp"

#include <gtest/gtest.h>

#include <array>

#include "allocations.hpp"

namespace vsmp::locality {
namespace {

using namespace std::chrono_literals;

constexpr ThresholdOptions kOptions{.faults = 3, .window = 10us, .rest = 100us};

RemoteFault fault(Duration when, NodeId location = NodeId{1}, VcpuId vcpu = VcpuId{0}) {
    return {.vcpu = vcpu,
            .page = PageNumber{7},
            .access = Access::read,
            .location = location,
            .mobility = Mobility::free,
            .code = {},
            .now = Instant{1s + when}};
}

Arrived arrival(Instant now, VcpuId vcpu = VcpuId{0}) {
    return {.vcpu = vcpu, .from = NodeId{1}, .blackout = 100us, .luggage = {}, .now = now};
}

bool ships_to(const Decision& decision, NodeId node) {
    const auto* ship = std::get_if<Ship>(&decision);
    return ship && ship->to == node;
}
bool fetches(const Decision& decision) {
    return std::holds_alternative<Fetch>(decision);
}

TEST(AlwaysFetch, NeverShips) {
    const auto policy = make_always_fetch();
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(fetches(policy->decide(fault(0us))));
}

TEST(Threshold, ShipsToTheNodeOfTheLastOfSoManyFaults) {
    const auto policy = make_threshold(kOptions);
    EXPECT_TRUE(fetches(policy->decide(fault(0us))));
    EXPECT_TRUE(fetches(policy->decide(fault(1us))));
    EXPECT_TRUE(fetches(policy->decide(fault(2us, NodeId{2}))));
    EXPECT_TRUE(ships_to(policy->decide(fault(3us)), NodeId{1}));
}

TEST(Threshold, ForgetsWhatIsOlderThanTheWindow) {
    const auto policy = make_threshold(kOptions);
    EXPECT_TRUE(fetches(policy->decide(fault(0us))));
    EXPECT_TRUE(fetches(policy->decide(fault(10us))));
    EXPECT_TRUE(fetches(policy->decide(fault(11us))));
    EXPECT_TRUE(fetches(policy->decide(fault(12us))));
    EXPECT_TRUE(ships_to(policy->decide(fault(13us)), NodeId{1}));
}

TEST(Threshold, CountsEachVcpuByItself) {
    const auto policy = make_threshold(kOptions);
    for (std::uint16_t vcpu = 0; vcpu < kMaxVcpus; ++vcpu)
        EXPECT_TRUE(fetches(policy->decide(fault(0us, NodeId{1}, VcpuId{vcpu}))));
}

TEST(Threshold, FetchesWhileTheVcpuCannotLeaveAndShipsWhenItCan) {
    const auto policy = make_threshold(kOptions);
    RemoteFault stuck = fault(0us);
    stuck.mobility = Mobility::stuck;
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(fetches(policy->decide(stuck)));
    EXPECT_TRUE(ships_to(policy->decide(fault(1us)), NodeId{1}));
}

TEST(Threshold, RestsAfterAMove) {
    const auto policy = make_threshold(kOptions);
    policy->observe(arrival(Instant{1s}));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(fetches(policy->decide(fault(99us))));
    EXPECT_TRUE(ships_to(policy->decide(fault(100us)), NodeId{1}));
}

TEST(Threshold, AMoveForgetsTheFaultsBeforeIt) {
    ThresholdOptions options = kOptions;
    options.rest = 0us;
    const auto policy = make_threshold(options);
    policy->decide(fault(0us));
    policy->decide(fault(0us));
    policy->observe(arrival(Instant{1s}));
    EXPECT_TRUE(fetches(policy->decide(fault(0us))));
    EXPECT_TRUE(fetches(policy->decide(fault(0us))));
    EXPECT_TRUE(ships_to(policy->decide(fault(0us)), NodeId{1}));
}

TEST(Threshold, DecidesWithoutAllocating) {
    const auto policy = make_threshold(kOptions);
    const std::size_t before = test::allocations();
    for (std::uint16_t i = 0; i < 1000; ++i) {
        policy->decide(fault(1us * i, NodeId{static_cast<std::uint8_t>(i % kMaxNodes)},
                             VcpuId{static_cast<std::uint16_t>(i % kMaxVcpus)}));
        policy->observe(arrival(Instant{1s + 1us * i}, VcpuId{1}));
    }
    EXPECT_EQ(test::allocations(), before);
    EXPECT_GT(before, 0u);
}

TEST(AlwaysShip, ShipsAtOnceButNotRightAfterAnArrival) {
    const auto policy = make_always_ship({.rest = 100us});
    EXPECT_TRUE(ships_to(policy->decide(fault(0us, NodeId{2})), NodeId{2}));
    policy->observe(arrival(Instant{1s}));
    EXPECT_TRUE(fetches(policy->decide(fault(99us))));
    EXPECT_TRUE(ships_to(policy->decide(fault(100us)), NodeId{1}));
}

class EveryPolicy : public testing::TestWithParam<const char*> {
  protected:
    std::unique_ptr<Policy> policy_ = *make_policy(
        GetParam(), {.self = NodeId{0}, .node_count = 3, .vcpu_count = 4, .page_count = 1 << 20});
};

TEST_P(EveryPolicy, NeverChoosesANodeOutOfReach) {
    const std::array<NodeLoad, 3> loads{NodeLoad{}, NodeLoad{.reach = Reach::unreachable},
                                        NodeLoad{.host = 2}};
    policy_->on_loads(loads, Instant{1s});
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(fetches(policy_->decide(fault(1us * i))));
}

TEST_P(EveryPolicy, ExplainsWhatItDidLast) {
    policy_->decide(fault(5us));
    const Explanation explanation = policy_->explain(VcpuId{0});
    EXPECT_EQ(explanation.policy, GetParam());
    EXPECT_FALSE(explanation.why.empty());
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy,
                         testing::Values("always-fetch", "always-ship", "learned", "threshold"));

TEST(MakePolicy, TellsTheKnownNamesWhenAskedForAnother) {
    const auto made = make_policy("oracle", {});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().message,
              "unknown policy 'oracle' (known: always-fetch, always-ship, learned, threshold)");
}

}  // namespace
}  // namespace vsmp::locality
