#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <memory>

#include "allocations.hpp"
#include "faults.hpp"

namespace vsmp::locality {
namespace {

using namespace std::chrono_literals;
using test::fetches_until_ship;
using test::kStart;
using test::kVcpu;
using test::remote_fault;

constexpr NodeId kOther{1};

TEST(Learned, GoesWhereAllItsPagesAreAfterLosingAboutWhatAShipCosts) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    EXPECT_LE(fetches_until_ship(*policy, kOther, now, 100), 4u);
    EXPECT_EQ(policy->explain(kVcpu).shipped_to, kOther);
}

TEST(Learned, StaysWhereItRunsWell) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    for (std::uint64_t i = 0; i < 2000; ++i) {
        EXPECT_TRUE(std::holds_alternative<Fetch>(policy->decide(remote_fault(7, kOther, now))));
        now += 140us;
        policy->observe(Fetched{kVcpu, PageNumber{7}, kOther, 140us, now});
        now += 5ms;
    }
}

TEST(Learned, NeverShipsWithOneNode) {
    const auto policy = make_learned(test::node(0, 1));
    Instant now = kStart;
    EXPECT_EQ(fetches_until_ship(*policy, NodeId{0}, now, 1000), 1000u);
    const std::array<NodeLoad, 1> loads{NodeLoad{.cpus = 1, .runnable = 4}};
    for (int i = 0; i < 1000; ++i) {
        policy->on_loads(loads, now += 10ms);
        EXPECT_EQ(policy->place({.vcpu = kVcpu, .busy = 1, .code = {}, .now = now}),
                  Placement{Stay{}});
    }
}

TEST(Learned, NeverChoosesANodeOutOfReach) {
    const auto policy = make_learned(test::node(0, 3));
    const std::array<NodeLoad, 3> loads{
        NodeLoad{.host = 0, .cpus = 1, .runnable = 4},
        NodeLoad{.host = 1, .cpus = 4, .runnable = 0, .reach = Reach::unreachable},
        NodeLoad{.host = 2, .cpus = 4, .runnable = 0, .reach = Reach::unreachable}};
    Instant now = kStart;
    policy->on_loads(loads, now);
    EXPECT_EQ(fetches_until_ship(*policy, kOther, now, 1000), 1000u);
    for (int i = 0; i < 100; ++i) {
        policy->on_loads(loads, now += 10ms);
        EXPECT_EQ(policy->place({.vcpu = kVcpu, .busy = 1, .code = {}, .now = now}),
                  Placement{Stay{}});
    }
}

// Whatever it does the vCPU waits all the time, here and there.
TEST(Learned, StaysWhenAllChoicesCostTheSame) {
    const auto here = make_learned(test::node(0));
    const auto there = make_learned(test::node(1));
    std::array<Policy*, 2> policies{here.get(), there.get()};
    std::size_t at = 0, ships = 0;
    Instant now = kStart;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
        const NodeId elsewhere{static_cast<std::uint8_t>(1 - at)};
        const RemoteFault fault = remote_fault(i * i, elsewhere, now);
        if (std::holds_alternative<Fetch>(policies[at]->decide(fault))) {
            now += 140us;
            policies[at]->observe(Fetched{kVcpu, fault.page, elsewhere, 140us, now});
            continue;
        }
        std::array<std::byte, kMaxLuggage> luggage;
        ByteWriter writer{luggage};
        policies[at]->pack(kVcpu, writer);
        policies[at]->observe(Departed{kVcpu, elsewhere, now});
        now += 140us;
        at = 1 - at;
        policies[at]->observe(Arrived{kVcpu, NodeId{static_cast<std::uint8_t>(1 - at)}, 140us,
                                      writer.written(), now});
        ++ships;
    }
    // Some to find out, in nearly three seconds; the exploration budget is one percent.
    EXPECT_LT(ships, 100u);
}

// What it needs in turns lies here and there, and a ship costs as much as a fetch. To go for each
// page would leave them where they are; once fetched they are together.
TEST(Learned, FetchesWhatItNeedsInTurnsInsteadOfGoingToAndFro) {
    const auto here = make_learned(test::node(0));
    const auto there = make_learned(test::node(1));
    std::array<Policy*, 2> policies{here.get(), there.get()};
    std::array<std::size_t, 128> lies_at{};
    for (std::size_t i = 0; i < lies_at.size(); ++i) lies_at[i] = i % 2;
    std::size_t at = 0, ships = 0;
    Instant now = kStart;
    for (std::size_t i = 0; i < 2000; ++i) {
        const std::size_t turn = i / 4;  // even ones here, odd ones there
        const std::size_t page = (i * i * 7 + turn) * 2 % lies_at.size() + turn % 2;
        now += 1ms;
        if (lies_at[page] == at) continue;
        const NodeId elsewhere{static_cast<std::uint8_t>(1 - at)};
        const RemoteFault fault = remote_fault(page * 1024, elsewhere, now);
        now += 2ms;
        if (std::holds_alternative<Fetch>(policies[at]->decide(fault))) {
            policies[at]->observe(Fetched{kVcpu, fault.page, elsewhere, 2ms, now});
            lies_at[page] = at;
            continue;
        }
        std::array<std::byte, kMaxLuggage> luggage;
        ByteWriter writer{luggage};
        policies[at]->pack(kVcpu, writer);
        policies[at]->observe(Departed{kVcpu, elsewhere, now});
        const NodeId from{static_cast<std::uint8_t>(at)};
        at = 1 - at;
        policies[at]->observe(Arrived{kVcpu, from, 2ms, writer.written(), now});
        ++ships;
    }
    EXPECT_LE(ships, 16u);
    for (const std::size_t node : lies_at) EXPECT_EQ(node, at);
}

TEST(Learned, StaysStuckWhileItCannotLeave) {
    const auto policy = make_learned(test::node(0));
    RemoteFault fault = remote_fault(1, kOther, kStart);
    fault.mobility = Mobility::stuck;
    for (int i = 0; i < 100; ++i) {
        fault.now += 140us;
        EXPECT_TRUE(std::holds_alternative<Fetch>(policy->decide(fault)));
        EXPECT_EQ(policy->explain(kVcpu).why, "the vCPU cannot leave");
    }
}

TEST(Learned, SpreadsFromAnOverloadedNodeButNotAtOnce) {
    const auto policy = make_learned(test::node(0));
    const std::array<NodeLoad, 2> loads{NodeLoad{.host = 0, .cpus = 1, .runnable = 4},
                                        NodeLoad{.host = 1, .cpus = 4, .runnable = 0}};
    Instant now = kStart;
    std::size_t ticks = 0;
    for (; ticks < 100; ++ticks) {
        policy->on_loads(loads, now += 10ms);
        const Placement placement =
            policy->place({.vcpu = kVcpu, .busy = 1, .code = {}, .now = now});
        if (placement == Placement{Ship{kOther, ShipReason::spread}}) break;
    }
    EXPECT_GE(ticks, 2u);
    EXPECT_LT(ticks, 20u);
}

const std::array<NodeLoad, 2> kMineOverloaded{NodeLoad{.host = 0, .cpus = 1, .runnable = 2},
                                              NodeLoad{.host = 1, .cpus = 1, .runnable = 0}};

const std::array<NodeLoad, 2> kIdleLoads{NodeLoad{.host = 0, .cpus = 1, .runnable = 1},
                                         NodeLoad{.host = 1, .cpus = 1, .runnable = 0}};

// vCPU 0 keeps the guest's time.
TEST(Learned, SendsAwayTheLastOfThoseThatNeedNothing) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    for (int tick = 0; tick < 20; ++tick) {
        policy->on_loads(kMineOverloaded, now += 10ms);
        const Activity first{.vcpu = VcpuId{0}, .busy = 1, .code = {}, .now = now};
        ASSERT_EQ(policy->place(first), Placement{Stay{}});
        const Activity last{.vcpu = VcpuId{1}, .busy = 1, .code = {}, .now = now};
        if (policy->place(last) == Placement{Ship{kOther, ShipReason::spread}}) return;
    }
    ADD_FAILURE() << "nobody was sent away";
}

// Where a fetch takes 3 ms and a ship 4 ms, 20 ms there would not pay for two ships, nor is an
// overload worth moving for that is over before what the vCPU runs on could have come after it.
TEST(Learned, SpreadsOverASlowFabricLaterAndForLonger) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    for (int i = 0; i < 20; ++i) {
        policy->observe(Arrived{kVcpu, kOther, 4ms, {}, now});
        policy->decide(remote_fault(7, kOther, now));
        now += 3ms;
        policy->observe(Fetched{kVcpu, PageNumber{7}, kOther, 3ms, now});
    }
    now += 2s;
    const auto ticks_until_sent_away = [&](int most) {
        for (int tick = 0; tick < most; ++tick) {
            policy->on_loads(kMineOverloaded, now += 10ms);
            if (policy->place({.vcpu = kVcpu, .busy = 1, .code = {}, .now = now}) !=
                Placement{Stay{}})
                return tick;
        }
        return most;
    };
    EXPECT_EQ(ticks_until_sent_away(30), 30);
    policy->on_loads(kIdleLoads, now += 10ms);  // one in which it is over begins anew
    const int ticks = ticks_until_sent_away(200);
    EXPECT_GT(ticks, 30);
    EXPECT_LT(ticks, 200);
    EXPECT_GT(policy->explain(kVcpu).useful_us, 300'000);
}

// Loads tell of a vCPU that was sent away with their next tick only.
TEST(Learned, SendsAwayOneAtATime) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    std::vector<int> sent;
    for (int tick = 0; tick < 12; ++tick) {
        policy->on_loads(kMineOverloaded, now += 10ms);
        for (std::uint16_t vcpu = 0; vcpu < 2; ++vcpu)
            if (policy->place({.vcpu = VcpuId{vcpu}, .busy = 1, .code = {}, .now = now}) !=
                Placement{Stay{}})
                sent.push_back(tick);
    }
    ASSERT_FALSE(sent.empty());
    EXPECT_TRUE(sent.size() == 1 || sent[1] - sent[0] >= 5);
}

const std::array<NodeLoad, 2> kBothBusy{NodeLoad{.host = 0, .cpus = 1, .runnable = 1},
                                        NodeLoad{.host = 1, .cpus = 1, .runnable = 1}};

// They come once, and to share a CPU goes on.
TEST(Learned, NewPagesAreNoReasonToShareACpuUnlessTheyGoOnComing) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    policy->on_loads(kBothBusy, now);
    const std::size_t fetched = fetches_until_ship(*policy, kOther, now, 8000);
    EXPECT_GT(fetched * 140us, 300ms);
    EXPECT_LT(fetched * 140us, 1s);
}

TEST(Learned, ABurstOfFightingIsNoReasonToShareACpuButFightingIs) {
    const auto policy = make_learned(test::node(0));
    policy->on_loads(kBothBusy, kStart);
    Instant now = kStart;
    const auto fights = [&](Duration time) {
        for (const Instant end = now + time; now < end; now += 1us)
            for (std::uint64_t page = 1; page < 4; ++page) {
                const RemoteFault fault = remote_fault(5 * page, kOther, now);
                if (std::holds_alternative<Ship>(policy->decide(fault))) return true;
                now += 140us;
                policy->observe(Fetched{kVcpu, fault.page, kOther, 140us, now});
            }
        return false;
    };
    for (int i = 0; i < 10; ++i) {
        EXPECT_FALSE(fights(3ms));
        now += 50ms;
    }
    EXPECT_TRUE(fights(100ms));
}

// Of pages that are new to it. A vCPU there that is not busy for long is hardly in the way.
TEST(Learned, HowLongItFetchesBeforeItSharesACpuDependsOnHowMuchOfIt) {
    const auto fetched_with = [](float runnable_there) {
        const auto policy = make_learned(test::node(0));
        const std::array<NodeLoad, 2> loads{
            NodeLoad{.host = 0, .cpus = 1, .runnable = 1},
            NodeLoad{.host = 1, .cpus = 1, .runnable = runnable_there}};
        Instant now = kStart;
        policy->on_loads(loads, now);
        return fetches_until_ship(*policy, kOther, now, 8000);
    };
    EXPECT_LE(fetched_with(0.32F), 4u);
    EXPECT_LE(fetched_with(0.35F), 200u);
    EXPECT_GT(fetched_with(0.6F), 500u);
    EXPECT_GT(fetched_with(1), fetched_with(0.6F));
}

// Nodes 0 and 1, with one CPU each.
class TwoPolicies {
  public:
    Policy& at(std::size_t node) { return *policies_[node]; }

    // A vCPU of node 1 that fights over its pages with one of node 0: true when it goes there.
    bool fights_until_it_goes(VcpuId vcpu, Instant& now) {
        at(1).on_loads(kBothBusy, now);
        for (const Instant end = now + 1s; now < end; now += 10us) {
            const PageNumber page{1 + 5 * (fights_++ % 8)};
            const RemoteFault fault = remote_fault(page.value(), NodeId{0}, now, vcpu);
            if (at(1).decide(fault) == Decision{Ship{NodeId{0}, ShipReason::gather}}) {
                move(vcpu, now);
                return true;
            }
            now += 140us;
            at(1).observe(Fetched{vcpu, page, NodeId{0}, 140us, now});
        }
        return false;
    }
    // How long node 0, which has more to do than CPUs, keeps all of `vcpus`; `most` at most.
    Duration keeps(std::initializer_list<VcpuId> vcpus, Instant now, Duration most) {
        const Instant begin = now;
        for (; now - begin < most; now += 10ms) {
            at(0).on_loads(kMineOverloaded, now);
            for (const VcpuId vcpu : vcpus)
                if (at(0).place({.vcpu = vcpu, .busy = 1, .code = {}, .now = now}) !=
                    Placement{Stay{}})
                    return now - begin;
        }
        return most;
    }

  private:
    void move(VcpuId vcpu, Instant& now) {
        std::array<std::byte, kMaxLuggage> luggage;
        ByteWriter writer{luggage};
        at(1).pack(vcpu, writer);
        at(1).observe(Departed{vcpu, NodeId{0}, now});
        now += 200us;
        at(0).observe(Arrived{vcpu, NodeId{1}, 200us, writer.written(), now});
    }

    std::array<std::unique_ptr<Policy>, 2> policies_{make_learned(test::node(0)),
                                                     make_learned(test::node(1))};
    std::uint64_t fights_ = 0;
};

TEST(Learned, NeitherOfTwoThatFoughtIsSentAwayAtOnceAgain) {
    TwoPolicies nodes;
    Instant now = kStart;
    ASSERT_TRUE(nodes.fights_until_it_goes(VcpuId{1}, now));
    const Duration kept = nodes.keeps({VcpuId{0}, VcpuId{1}}, now, 10s);
    EXPECT_GT(kept, 500ms);
    EXPECT_LT(kept, 3s);
}

// One of the others is who it fought with, hardly the one that is sent.
TEST(Learned, AFightOfTwoDoesNotKeepManyTogether) {
    TwoPolicies nodes;
    Instant now = kStart;
    ASSERT_TRUE(nodes.fights_until_it_goes(VcpuId{1}, now));
    EXPECT_LT(nodes.keeps({VcpuId{0}, VcpuId{1}, VcpuId{2}, VcpuId{3}}, now, 10s), 200ms);
}

// Of two nodes that fight the higher one's vCPU comes: what this one lost to it it finds here then.
TEST(Learned, WhoIsToBeJoinedMakesNoTrials) {
    const auto policy = make_learned(test::node(0));
    policy->on_loads(kMineOverloaded, kStart);
    Instant now = kStart;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const RemoteFault fault = remote_fault(1 + 5 * (i % 8), kOther, now);
        const Decision decision = policy->decide(fault);
        ASSERT_NE(policy->explain(kVcpu).why, "to learn what comes of it") << i;
        ASSERT_TRUE(std::holds_alternative<Fetch>(decision)) << i;
        now += 140us;
        policy->observe(Fetched{kVcpu, fault.page, kOther, 140us, now});
        now += 400us;
    }
}

TEST(Learned, DoesNotSpreadToANodeOfTheSameHost) {
    const auto policy = make_learned(test::node(0));
    const std::array<NodeLoad, 2> loads{NodeLoad{.host = 0, .cpus = 1, .runnable = 4},
                                        NodeLoad{.host = 0, .cpus = 1, .runnable = 4}};
    Instant now = kStart;
    for (int i = 0; i < 100; ++i) {
        policy->on_loads(loads, now += 10ms);
        EXPECT_EQ(policy->place({.vcpu = kVcpu, .busy = 1, .code = {}, .now = now}),
                  Placement{Stay{}});
    }
}

TEST(Learned, DecidesAndLearnsWithoutAllocating) {
    const auto here = make_learned(test::node(0));
    const auto there = make_learned(test::node(1));
    std::array<std::byte, kMaxLuggage> luggage;
    Instant now = kStart;
    const std::size_t before = vsmp::test::allocations();
    for (int i = 0; i < 50; ++i) {
        fetches_until_ship(*here, kOther, now, 100);
        ByteWriter writer{luggage};
        here->pack(kVcpu, writer);
        here->observe(Departed{kVcpu, kOther, now});
        there->observe(Arrived{kVcpu, NodeId{0}, 200us, writer.written(), now});
        here->observe(Prefetched{kVcpu, PageNumber{1}, PrefetchFate::used, now});
        here->place({.vcpu = kVcpu, .busy = 1, .code = {}, .now = now});
        here->observe(Arrived{kVcpu, kOther, 200us, {}, now});
    }
    EXPECT_EQ(vsmp::test::allocations(), before);
}

TEST(Learned, ExplainsWhatItWeighed) {
    const auto policy = make_learned(test::node(0));
    Instant now = kStart;
    fetches_until_ship(*policy, kOther, now, 100);
    const Explanation explanation = policy->explain(kVcpu);
    EXPECT_EQ(explanation.policy, "learned");
    EXPECT_EQ(explanation.why, "it will wait less there");
    EXPECT_GT(explanation.stall_here, explanation.stall_there);
    EXPECT_NEAR(explanation.fetch_us, 140, 45);
    EXPECT_EQ(explanation.ships, 1u);
}

}  // namespace
}  // namespace vsmp::locality
