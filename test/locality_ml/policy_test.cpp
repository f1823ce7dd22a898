#include "locality_ml/policy.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

namespace {
std::size_t allocations = 0;
}

// Counts allocations of the whole test binary, to see that decide() makes none.
void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace vsmp::locality {
namespace {

using namespace std::chrono_literals;

constexpr ThresholdOptions kOptions{.faults = 3, .window = 10us, .rest = 100us};

RemoteFault fault(Duration when, NodeId location = NodeId{1}, VcpuId vcpu = VcpuId{0}) {
    return {.vcpu = vcpu,
            .page = PageNumber{7},
            .access = Access::read,
            .location = location,
            .may_ship = true,
            .now = Instant{1s + when}};
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
    stuck.may_ship = false;
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(fetches(policy->decide(stuck)));
    EXPECT_TRUE(ships_to(policy->decide(fault(1us)), NodeId{1}));
}

TEST(Threshold, RestsAfterAMove) {
    const auto policy = make_threshold(kOptions);
    policy->on_moved(VcpuId{0}, Instant{1s});
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(fetches(policy->decide(fault(99us))));
    EXPECT_TRUE(ships_to(policy->decide(fault(100us)), NodeId{1}));
}

TEST(Threshold, AMoveForgetsTheFaultsBeforeIt) {
    ThresholdOptions options = kOptions;
    options.rest = 0us;
    const auto policy = make_threshold(options);
    policy->decide(fault(0us));
    policy->decide(fault(0us));
    policy->on_moved(VcpuId{0}, Instant{1s});
    EXPECT_TRUE(fetches(policy->decide(fault(0us))));
    EXPECT_TRUE(fetches(policy->decide(fault(0us))));
    EXPECT_TRUE(ships_to(policy->decide(fault(0us)), NodeId{1}));
}

TEST(Threshold, DecidesWithoutAllocating) {
    const auto policy = make_threshold(kOptions);
    const std::size_t before = allocations;
    for (std::uint16_t i = 0; i < 1000; ++i) {
        policy->decide(fault(1us * i, NodeId{static_cast<std::uint8_t>(i % kMaxNodes)},
                             VcpuId{static_cast<std::uint16_t>(i % kMaxVcpus)}));
        policy->on_moved(VcpuId{1}, Instant{1s + 1us * i});
    }
    EXPECT_EQ(allocations, before);
    EXPECT_GT(before, 0u);
}

TEST(MakePolicy, KnowsTheNames) {
    EXPECT_TRUE(make_policy("always-fetch"));
    EXPECT_TRUE(make_policy("threshold"));
}

TEST(MakePolicy, TellsTheKnownNamesWhenAskedForAnother) {
    const auto made = make_policy("oracle");
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().message, "unknown policy 'oracle' (known: always-fetch, threshold)");
}

}  // namespace
}  // namespace vsmp::locality
