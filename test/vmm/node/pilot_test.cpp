// The pilot of node 0 with a policy that answers what the test says, on real brokers of two nodes
// whose mappings are nobody's; no KVM, no userfaultfd, and time is what the test says.
#include "vmm/node/pilot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "test/fake_fabric.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp {
namespace {

using namespace std::chrono_literals;
using locality::PrefetchFate;
using testing::ElementsAre;
using testing::SizeIs;

constexpr NodeId kHere{0}, kThere{1};
constexpr VcpuId kVcpu{1};
constexpr std::size_t kVcpus = 2;
constexpr std::uint64_t kHomed = 64;  // pages of each node
constexpr Instant kStart{1s};

constexpr PageNumber there(std::uint64_t n) {
    return PageNumber{kHomed + n};
}

class NoMappings final : public PageMapper {
  public:
    Result<void> map_read_only(PageNumber, std::uint64_t) override { return {}; }
    Result<void> map_writable(PageNumber, std::uint64_t) override { return {}; }
    Result<void> allow_write(PageNumber) override { return {}; }
    Result<void> forbid_write(PageNumber) override { return {}; }
    Result<void> unmap(PageNumber, std::uint64_t) override { return {}; }
    Result<void> watch_writes(PageNumber, std::uint64_t) override { return {}; }
    Result<void> collapse(PageNumber) override { return Error{"no large pages here"}; }
};

class CountingVcpus final : public LocalVcpus {
  public:
    void capture(VcpuId, NodeId to) override { captured_to.push_back(to); }
    void resume(VcpuId) override {}
    void install(VcpuId, shipper::VcpuState) override {}
    void deliver(VcpuId, const shipper::Interrupt&) override {}

    std::vector<NodeId> captured_to;
};

class ScriptedPolicy final : public locality::Policy {
  public:
    locality::Decision decide(const locality::RemoteFault& fault) override {
        faults.push_back(fault);
        return decision;
    }
    void observe(const locality::Observation& what) override {
        seen.push_back(what);
        if (const auto* arrived = std::get_if<locality::Arrived>(&what))
            luggage.assign(arrived->luggage.begin(), arrived->luggage.end());
    }
    void on_loads(std::span<const locality::NodeLoad> told, Instant) override {
        loads.assign(told.begin(), told.end());
    }
    locality::Placement place(const locality::Activity&) override { return placement; }
    void pack(VcpuId, ByteWriter& to) const override { to.write(std::uint8_t{42}); }
    locality::Explanation explain(VcpuId) const override { return {}; }

    template <class What>
    std::vector<What> all() const {
        std::vector<What> found;
        for (const locality::Observation& what : seen)
            if (const auto* one = std::get_if<What>(&what)) found.push_back(*one);
        return found;
    }

    locality::Decision decision = locality::Fetch{};
    locality::Placement placement = locality::Stay{};
    std::vector<locality::RemoteFault> faults;
    std::vector<locality::Observation> seen;
    std::vector<locality::NodeLoad> loads;
    std::vector<std::byte> luggage;
};

class PilotTest : public testing::Test {
  protected:
    struct Node {
        Node(NodeId self, std::deque<test::Packet>& wire)
            : memory(*GuestMemory::create(2 * kHomed)),
              fabric(self, wire),
              broker(self, HomeMap{{kHomed, kHomed}}, coherence::hold_limits(self, 2, 1us, 1us),
                     memory, mapper) {
            broker.attach(&fabric);
        }
        GuestMemory memory;
        NoMappings mapper;
        test::QueueFabric fabric;
        Broker broker;
    };
    Pilot::Course fault(PageNumber page, Access access = Access::read) {
        const Userfault touched{page, access, 0};
        if (!here_.broker.is_remote(touched)) {
            here_.broker.on_fault(touched, coherence::Claimant{kVcpu.value()}, now_);
            return Pilot::Course::fetch;
        }
        const Pilot::Course course = pilot_.on_fault(touched, kVcpu, now_);
        if (course == Pilot::Course::shipping) return course;
        here_.broker.on_fault(touched, coherence::Claimant{kVcpu.value()}, now_);
        pilot_.prefetch(access, now_);
        return course;
    }
    // All that is under way arrives `after` now.
    void deliver(Duration after) {
        now_ += after;
        while (!wire_.empty()) {
            const test::Packet packet = std::move(wire_.front());
            wire_.pop_front();
            Broker& to = packet.to == kHere ? here_.broker : there_.broker;
            to.on_message(packet.from, packet.bytes, now_);
            here_.broker.on_timer(now_);
            there_.broker.on_timer(now_);
        }
    }
    void later(Duration by) {
        now_ += by;
        pilot_.on_timer(now_);
    }
    std::vector<std::pair<PageNumber, PrefetchFate>> fates() const {
        std::vector<std::pair<PageNumber, PrefetchFate>> found;
        for (const auto& one : policy_.all<locality::Prefetched>())
            found.emplace_back(one.page, one.fate);
        return found;
    }
    void fetch_with(std::initializer_list<PageNumber> ahead) {
        locality::Fetch fetch;
        for (PageNumber page : ahead) fetch.prefetch.add(page);
        policy_.decision = fetch;
    }

    Instant now_ = kStart;
    std::deque<test::Packet> wire_;
    Node here_{kHere, wire_}, there_{kThere, wire_};
    CountingVcpus vcpus_;
    VcpuDirectory directory_{kHere, 2, kVcpus, vcpus_, &here_.fabric, [](const Error&) { FAIL(); }};
    ScriptedPolicy policy_;
    std::vector<std::pair<NodeId, std::vector<std::byte>>> luggage_;
    std::vector<LoadReport> loads_sent_;
    Duration idle_{};
    Pilot pilot_{
        {.self = kHere, .node_count = 2, .vcpu_count = kVcpus, .cpu_set = 1, .cpus = 1},
        {.idle_time = [this](VcpuId) { return idle_; },
         .send =
             [this](std::optional<NodeId> to, const PolicyMessage& message) {
                 if (const auto* load = std::get_if<LoadReport>(&message))
                     loads_sent_.push_back(*load);
                 else if (const auto* luggage = std::get_if<Luggage>(&message))
                     luggage_.push_back({*to, {luggage->bytes.begin(), luggage->bytes.end()}});
             }},
        policy_,
        here_.broker,
        directory_};
};

TEST_F(PilotTest, TellsWhatAFetchTook) {
    EXPECT_EQ(fault(there(3), Access::write), Pilot::Course::fetch);
    ASSERT_THAT(policy_.faults, SizeIs(1));
    EXPECT_EQ(policy_.faults[0].vcpu, kVcpu);
    EXPECT_EQ(policy_.faults[0].location, kThere);
    EXPECT_EQ(policy_.faults[0].access, Access::write);
    EXPECT_EQ(policy_.faults[0].mobility, locality::Mobility::free);
    EXPECT_THAT(policy_.seen, SizeIs(0));
    deliver(70us);
    const auto fetched = policy_.all<locality::Fetched>();
    ASSERT_THAT(fetched, SizeIs(1));
    EXPECT_EQ(fetched[0].page, there(3));
    EXPECT_EQ(fetched[0].from, kThere);
    EXPECT_EQ(fetched[0].cost, 70us);
}

TEST_F(PilotTest, ShipsOnceAndFetchesForAVcpuThatIsLeavingAlready) {
    policy_.decision = locality::Ship{kThere};
    EXPECT_EQ(fault(there(3)), Pilot::Course::shipping);
    EXPECT_THAT(vcpus_.captured_to, ElementsAre(kThere));
    EXPECT_THAT(policy_.seen, SizeIs(0));
    EXPECT_EQ(fault(there(4)), Pilot::Course::fetch);  // another of its faults
    EXPECT_THAT(vcpus_.captured_to, SizeIs(1));
    EXPECT_THAT(policy_.all<locality::ShipFailed>(), SizeIs(1));
    EXPECT_EQ(pilot_.counters().ships_by_fault, 1u);
    EXPECT_EQ(pilot_.counters().ships_refused, 1u);
}

// The time until then is the ship's fault, not the fetch's.
TEST_F(PilotTest, AFetchInsteadOfAFailedShipBeginsWhenItFailed) {
    policy_.decision = locality::Ship{kThere};
    EXPECT_EQ(fault(there(3)), Pilot::Course::shipping);
    now_ += 5ms;
    pilot_.on_ship_failed(kVcpu, now_);
    ASSERT_THAT(policy_.all<locality::ShipFailed>(), SizeIs(1));
    here_.broker.on_fault({there(3), Access::read, 0}, coherence::Claimant{kVcpu.value()}, now_);
    deliver(90us);
    const auto fetched = policy_.all<locality::Fetched>();
    ASSERT_THAT(fetched, SizeIs(1));
    EXPECT_EQ(fetched[0].cost, 90us);
}

TEST_F(PilotTest, WhatThePolicyKnowsGoesBeforeTheVcpuAndComesWithIt) {
    pilot_.on_departing(kVcpu, kThere, now_);
    ASSERT_THAT(luggage_, SizeIs(1));
    EXPECT_EQ(luggage_[0].first, kThere);
    EXPECT_THAT(luggage_[0].second, ElementsAre(std::byte{42}));
    EXPECT_THAT(policy_.all<locality::Departed>(), SizeIs(1));

    const std::array<std::byte, 2> bytes{std::byte{7}, std::byte{8}};
    pilot_.on_message(kThere, Luggage{kVcpu, bytes});
    pilot_.on_arrived(kVcpu, kThere, 300us, now_);
    const auto arrived = policy_.all<locality::Arrived>();
    ASSERT_THAT(arrived, SizeIs(1));
    EXPECT_EQ(arrived[0].blackout, 300us);
    EXPECT_THAT(policy_.luggage, ElementsAre(std::byte{7}, std::byte{8}));
    pilot_.on_arrived(kVcpu, kThere, 300us, now_);  // it was for once
    EXPECT_THAT(policy_.luggage, SizeIs(0));
}

TEST_F(PilotTest, EachOfFewPagesFetchedAheadTellsForItself) {
    fetch_with({there(10), there(20), there(30)});
    fault(there(3));
    deliver(70us);
    EXPECT_THAT(fates(), SizeIs(0));
    policy_.decision = locality::Fetch{};
    fault(there(20));
    EXPECT_THAT(fates(), ElementsAre(std::pair{there(20), PrefetchFate::used}));
    there_.broker.on_fault({there(30), Access::write, 0}, coherence::Claimant{0}, now_);
    deliver(70us);
    ASSERT_THAT(fates(), SizeIs(2));
    EXPECT_EQ(fates()[1], (std::pair{there(30), PrefetchFate::wasted}));
    later(1s);
    ASSERT_THAT(fates(), SizeIs(3));
    EXPECT_EQ(fates()[2], (std::pair{there(10), PrefetchFate::wasted}));
    EXPECT_EQ(pilot_.counters().prefetch_used, 1u);
    EXPECT_EQ(pilot_.counters().prefetch_wasted, 2u);
}

TEST_F(PilotTest, PagesThatAreHereAreNotFetchedAheadAndNotWasted) {
    fault(there(3));
    deliver(70us);
    fetch_with({there(3), PageNumber{5}});
    fault(there(4));
    EXPECT_THAT(fates(), ElementsAre(std::pair{there(3), PrefetchFate::missed},
                                     std::pair{PageNumber{5}, PrefetchFate::missed}));
    later(1s);
    EXPECT_THAT(fates(), SizeIs(2));
    EXPECT_EQ(here_.broker.counters().prefetches, 0u);
}

TEST_F(PilotTest, OneOfManyPagesFetchedAheadSpeaksForAll) {
    fetch_with({there(10), there(11), there(12), there(13), there(14), there(15)});
    fault(there(3));
    deliver(70us);
    EXPECT_EQ(here_.broker.counters().prefetches, 6u);
    later(1s);
    EXPECT_THAT(fates(), SizeIs(6));
    EXPECT_EQ(pilot_.counters().prefetch_wasted, 6u);
}

TEST_F(PilotTest, LoadsAreToldToOtherNodesAndToThePolicy) {
    later(0s);
    later(100ms);  // both vCPUs ran all the time
    ASSERT_FALSE(loads_sent_.empty());
    EXPECT_EQ(loads_sent_.back().runnable_permille, 2000u);
    pilot_.on_message(kThere, LoadReport{.cpu_set = 2, .cpus = 4, .runnable_permille = 500});
    later(100ms);
    ASSERT_THAT(policy_.loads, SizeIs(2));
    EXPECT_FLOAT_EQ(policy_.loads[0].runnable, 2);
    EXPECT_FLOAT_EQ(policy_.loads[1].runnable, 0.5F);
    EXPECT_FLOAT_EQ(policy_.loads[1].cpus, 4);
}

TEST_F(PilotTest, NodesOfOneHostShareTheirLoad) {
    later(0s);
    later(100ms);
    pilot_.on_message(kThere, LoadReport{.cpu_set = 1, .cpus = 1, .runnable_permille = 500});
    later(100ms);
    ASSERT_THAT(policy_.loads, SizeIs(2));
    EXPECT_EQ(policy_.loads[0].host, policy_.loads[1].host);
    EXPECT_FLOAT_EQ(policy_.loads[1].runnable, 2.5F);
}

// A ship takes less time than the next look.
TEST_F(PilotTest, TheLoadGoesWithTheVcpu) {
    later(0s);
    pilot_.on_message(kThere, LoadReport{.cpu_set = 2, .cpus = 1, .runnable_permille = 0});
    later(100ms);
    pilot_.on_departing(kVcpu, kThere, now_);
    ASSERT_THAT(policy_.loads, SizeIs(2));
    EXPECT_FLOAT_EQ(policy_.loads[0].runnable, 1);
    EXPECT_FLOAT_EQ(policy_.loads[1].runnable, 1);
}

TEST_F(PilotTest, SomebodyWhoWantsAPageMakesAnIdleNodeLookAtItsLoad) {
    later(0s);
    idle_ = 100ms;
    later(100ms);  // nothing ran: the next look is far
    const Instant due = pilot_.next_deadline();
    there_.broker.on_fault({PageNumber{5}, Access::read, 0}, coherence::Claimant{0}, now_);
    deliver(70us);
    EXPECT_LT(pilot_.next_deadline(), due);
}

TEST_F(PilotTest, AVcpuThatIsPlacedElsewhereIsShipped) {
    policy_.placement = locality::Ship{kThere, locality::ShipReason::spread};
    later(0s);
    EXPECT_THAT(vcpus_.captured_to, ElementsAre(kThere, kThere));
    EXPECT_EQ(pilot_.counters().ships_by_placement, 2u);
}

TEST_F(PilotTest, ANewPolicyHearsNothingOfWhatTheOldOneAskedFor) {
    fetch_with({there(10)});
    fault(there(3));
    ScriptedPolicy other;
    pilot_.use(other);
    deliver(70us);
    later(1s);
    EXPECT_THAT(other.seen, SizeIs(0));
    EXPECT_THAT(policy_.seen, SizeIs(0));
}

}  // namespace
}  // namespace vsmp
