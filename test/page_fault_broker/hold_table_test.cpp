#include "page_fault_broker/core/hold_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace vsmp::coherence {
namespace {

using namespace std::chrono_literals;

constexpr Claimant kVcpu{0};
constexpr Claimant kOther{1};
constexpr HoldLimits kLimits{.hold = 10us, .patience = 100us};

Instant at(Duration when) {
    return Instant{1s + when};
}
PageNumber page(std::uint64_t number) {
    return PageNumber{number};
}

struct Table : HoldTable {
    Table() : HoldTable(kLimits) {}
    std::vector<std::uint64_t> over(Duration when) {
        std::vector<PageNumber> pages;
        expired(at(when), pages);
        std::vector<std::uint64_t> numbers;
        for (PageNumber p : pages) numbers.push_back(p.value());
        return numbers;
    }
    using Pages = std::vector<std::uint64_t>;
};

TEST(HoldTable, APageIsHeldForTheHoldTime) {
    Table table;
    EXPECT_FALSE(table.next_deadline());
    table.on_fault(kVcpu, page(1), at(0us));
    EXPECT_FALSE(table.next_deadline());
    table.on_granted(kVcpu, page(1), at(5us));
    EXPECT_EQ(table.next_deadline(), at(15us));
    EXPECT_EQ(table.over(14us), Table::Pages{});
    EXPECT_EQ(table.over(15us), Table::Pages{1});
    EXPECT_EQ(table.over(1s), Table::Pages{});
    EXPECT_FALSE(table.next_deadline());
}

TEST(HoldTable, EarlierPagesStayWhileTheBurstGoesOn) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(2), at(5us));
    EXPECT_EQ(table.over(50us), Table::Pages{});
    table.on_granted(kVcpu, page(2), at(50us));
    EXPECT_EQ(table.next_deadline(), at(60us));
    EXPECT_EQ(table.over(60us), (Table::Pages{1, 2}));
}

TEST(HoldTable, ABurstThatWaitsTooLongForAPageLetsGoOfEverything) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(2), at(5us));
    table.on_fault(kVcpu, page(2), at(50us));
    EXPECT_EQ(table.next_deadline(), at(105us));
    EXPECT_EQ(table.over(105us), Table::Pages{1});
    EXPECT_FALSE(table.next_deadline());
}

TEST(HoldTable, EachFaultOfABurstHasItsOwnTime) {
    Table table;
    table.on_granted(kVcpu, page(0), at(0us));
    for (std::uint64_t i = 1; i < 5; ++i) {
        table.on_fault(kVcpu, page(i), at(90us * i));
        EXPECT_EQ(table.next_deadline(), at(90us * i + 100us));
        table.on_granted(kVcpu, page(i), at(90us * i + 89us));
    }
    EXPECT_EQ(table.over(90us * 4 + 98us), Table::Pages{});
}

TEST(HoldTable, APageItsClaimantFaultsOnAgainIsLetGoAtOnceUnlessAnotherHoldsIt) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_granted(kVcpu, page(2), at(0us));
    table.on_granted(kOther, page(2), at(0us));
    table.on_fault(kVcpu, page(2), at(1us));
    EXPECT_EQ(table.over(1us), Table::Pages{});
    EXPECT_EQ(table.over(10us), Table::Pages{2});
    table.on_fault(kVcpu, page(1), at(11us));
    EXPECT_EQ(table.next_deadline(), at(11us));
    EXPECT_EQ(table.over(11us), Table::Pages{1});
}

TEST(HoldTable, APageThatComesLateDoesNotEndTheWaitForAnother) {
    Table table;
    table.on_fault(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(2), at(1us));
    table.on_granted(kVcpu, page(1), at(2us));
    EXPECT_EQ(table.next_deadline(), at(102us));
    table.on_granted(kVcpu, page(2), at(3us));
    EXPECT_EQ(table.next_deadline(), at(13us));
}

TEST(HoldTable, APageOfTwoBurstsIsHeldUntilBothAreOver) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_granted(kOther, page(1), at(0us));
    table.on_fault(kOther, page(2), at(5us));
    EXPECT_EQ(table.over(10us), Table::Pages{});
    EXPECT_EQ(table.over(105us), Table::Pages{1});
}

TEST(HoldTable, ABurstHasNoMoreThanSoManyPages) {
    Table table;
    for (std::uint64_t i = 0; i < kMaxBurstPages; ++i) {
        table.on_fault(kVcpu, page(i), at(1us * i));
        table.on_granted(kVcpu, page(i), at(1us * i));
        EXPECT_EQ(table.over(1us * i), Table::Pages{});
    }
    table.on_granted(kVcpu, page(1000), at(70us));
    EXPECT_EQ(table.next_deadline(), at(70us));
    EXPECT_EQ(table.over(70us), Table::Pages{0});
}

TEST(HoldTable, APageGrantedTwiceCountsOnce) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_granted(kVcpu, page(1), at(1us));
    EXPECT_EQ(table.over(11us), Table::Pages{1});
}

TEST(HoldTable, AbandonedPagesAreLetGoAtOnceUnlessAnotherHoldsThem) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_granted(kVcpu, page(2), at(0us));
    table.on_granted(kOther, page(2), at(1us));
    table.on_abandoned(kVcpu, at(2us));
    table.on_abandoned(kVcpu, at(2us));
    EXPECT_EQ(table.next_deadline(), at(2us));
    EXPECT_EQ(table.over(2us), Table::Pages{1});
    EXPECT_EQ(table.over(11us), Table::Pages{2});
}

// A clock that tells what the test says.
struct Had final : TurnClock {
    std::optional<Duration> had(Claimant) const override { return time; }
    std::optional<Duration> time = 1s;
};

TEST(HoldTable, TheTimeCountsThatTheClaimantHad) {
    Had had;
    Table table;
    table.set_clock(&had);
    table.on_granted(kVcpu, page(1), at(0us));
    EXPECT_EQ(table.over(10us), Table::Pages{});
    EXPECT_EQ(table.next_deadline(), at(20us));
    *had.time += 4us;  // its thread has begun to run
    EXPECT_EQ(table.over(20us), Table::Pages{});
    EXPECT_EQ(table.next_deadline(), at(26us));
    *had.time += 6us;
    EXPECT_EQ(table.over(26us), Table::Pages{1});
}

TEST(HoldTable, WhoHadMostOfItsTimeIsNotLookedAtAgain) {
    Had had;
    Table table;
    table.set_clock(&had);
    table.on_granted(kVcpu, page(1), at(0us));
    *had.time += 8us;
    EXPECT_EQ(table.over(10us), Table::Pages{1});
}

TEST(HoldTable, WhoNeverRunsLosesThePageInTheEnd) {
    Had had;
    Table table;
    table.set_clock(&had);
    table.on_granted(kVcpu, page(1), at(0us));
    for (int i = 1; i < kLatestHolds; ++i) EXPECT_EQ(table.over(i * 10us), Table::Pages{});
    EXPECT_EQ(table.over(kLatestHolds * 10us), Table::Pages{1});
}

// A turn of `had` with the page, from its grant at `when` on. What was planned.
Duration turn(Table& table, Had& had, Duration when, Duration took) {
    table.on_granted(kVcpu, page(1), at(when));
    const Duration planned = *table.next_deadline() - at(when);
    *had.time += took;
    table.over(when + std::max(planned, took));
    table.on_lost(page(1));
    return planned;
}

TEST(HoldTable, WhoHadThePageTooLongHasAShorterTurnNextTime) {
    Had had;
    Table table;
    table.set_clock(&had);
    EXPECT_EQ(turn(table, had, 0us, 14us), 10us);
    EXPECT_EQ(turn(table, had, 100us, 6us), 6us);
    EXPECT_EQ(turn(table, had, 200us, 45us), 10us);
    EXPECT_EQ(turn(table, had, 300us, 10us), 2500ns);  // a part of it remains
    EXPECT_EQ(turn(table, had, 400us, 8us), 2500ns);
}

TEST(HoldTable, WhoHadItTooShortHasALongerOne) {
    Had had;
    Table table;
    table.set_clock(&had);
    EXPECT_EQ(turn(table, had, 0us, 8us), 10us);
    EXPECT_EQ(turn(table, had, 100us, 12us), 12us);
    EXPECT_EQ(turn(table, had, 200us, 10us), 10us);
}

TEST(HoldTable, AnotherPageIsAnotherFight) {
    Had had;
    Table table;
    table.set_clock(&had);
    turn(table, had, 0us, 50us);
    table.on_granted(kVcpu, page(2), at(100us));
    EXPECT_EQ(table.next_deadline(), at(110us));
}

TEST(HoldTable, WithoutAnAnswerOfTheClockAllTimeCounts) {
    Had had;
    Table table;
    table.set_clock(&had);
    table.on_granted(kVcpu, page(1), at(0us));
    had.time.reset();
    EXPECT_EQ(table.over(10us), Table::Pages{1});
}

TEST(HoldTable, ABurstThatWaitsIsCutWhateverItHad) {
    Had had;
    Table table;
    table.set_clock(&had);
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(2), at(5us));
    EXPECT_EQ(table.over(105us), Table::Pages{1});
}

TEST(HoldTable, AHoldIsNotShorterThanAHandOver) {
    HoldTable table{{.hold = 10us, .patience = 100us, .longest = 90us}};
    EXPECT_EQ(table.hold(), 10us);
    for (int i = 0; i < 10; ++i) table.on_fetched(2us);
    EXPECT_EQ(table.hold(), 10us);
    for (int i = 0; i < 11; ++i) table.on_fetched(15us);
    EXPECT_EQ(table.hold(), 60us);
    table.on_fetched(10ms);  // one in the way of many
    EXPECT_EQ(table.hold(), 60us);
    table.on_granted(kVcpu, page(1), at(0us));
    EXPECT_EQ(table.next_deadline(), at(60us));
    for (int i = 0; i < 30; ++i) table.on_fetched(10ms);
    EXPECT_EQ(table.hold(), 90us);
}

TEST(HoldTable, AHoldIsNotShorterThanTheSlowestNodeNeeds) {
    HoldTable table{{.hold = 10us, .patience = 100us, .longest = 1ms}};
    table.on_told(NodeId{1}, 50us);
    table.on_told(NodeId{2}, 20us);
    EXPECT_EQ(table.hold(), 200us);
    table.on_told(NodeId{1}, 0us);
    EXPECT_EQ(table.hold(), 80us);
}

TEST(HoldTable, WhoLooksLateNeedsLongerHolds) {
    HoldTable table{{.hold = 10us, .patience = 100us, .longest = 1ms}};
    std::vector<PageNumber> pages;
    for (std::uint64_t i = 0; i < RunningMedian::kFewest; ++i) {
        EXPECT_EQ(table.hold(), 10us);
        table.on_granted(kVcpu, page(i), at(i * 1ms));
        table.expired(*table.next_deadline() + 24us, pages);
    }
    EXPECT_EQ(table.hold(), 24us);
}

TEST(RunningMedian, IsOfTheLastOnes) {
    RunningMedian meter;
    for (std::size_t i = 0; i < RunningMedian::kFewest; ++i) {
        EXPECT_EQ(meter.median(), 0us);
        meter.add(1us);
    }
    EXPECT_EQ(meter.median(), 1us);
    for (std::size_t i = 0; i < 2 * RunningMedian::kSamples; ++i)
        meter.add(i % 3 == 0 ? 1s : Duration{20us});
    EXPECT_EQ(meter.median(), 20us);
    for (std::size_t i = 0; i < RunningMedian::kSamples; ++i) meter.add(40us);
    EXPECT_EQ(meter.median(), 40us);
}

TEST(HoldLimits, ArePatientForSomeHoldsAndSomeRoundTrips) {
    EXPECT_EQ(hold_limits(NodeId{0}, 2, 10us, 5us).patience, kPatience * 10us);
    EXPECT_EQ(hold_limits(NodeId{0}, 2, 10us, 50us).patience, kPatience * 50us);
    EXPECT_EQ(hold_limits(NodeId{0}, 2, 10us, 50us).hold, 10us);
    EXPECT_EQ(hold_limits(NodeId{0}, 2, 10us, 50us).spread, 2 * kSpreadPerNode);
}

// What a node's bursts have, one after the other.
std::vector<Duration> patiences(const HoldLimits& limits, std::size_t count) {
    HoldTable table{limits};
    std::vector<Duration> drawn;
    std::vector<PageNumber> pages;
    for (std::size_t i = 0; i < count; ++i) {
        table.on_granted(kVcpu, page(i), at(0us));
        table.on_fault(kVcpu, page(i + 1), at(0us));
        drawn.push_back(*table.next_deadline() - at(0us));
        table.expired(at(1h), pages);
    }
    return drawn;
}

TEST(HoldTable, PatienceHasALongTailWithinItsBounds) {
    const HoldLimits limits = hold_limits(NodeId{1}, 4, 10us, 10us);
    const auto drawn = patiences(limits, 10'000);
    const auto more_than = [&](int factor) {
        return std::ranges::count_if(
            drawn, [&](Duration each) { return each > factor * limits.patience; });
    };
    EXPECT_GE(std::ranges::min(drawn), limits.patience);
    EXPECT_LE(std::ranges::max(drawn), limits.spread * limits.patience);
    // (16 / x - 1) / 15 of them, exactly enough drawn to be within a percent.
    EXPECT_NEAR(static_cast<double>(more_than(2)), 10'000 * 7 / 15., 200);
    EXPECT_NEAR(static_cast<double>(more_than(4)), 10'000 * 3 / 15., 200);
    EXPECT_NEAR(static_cast<double>(more_than(8)), 10'000 * 1 / 15., 200);
}

TEST(HoldTable, EachNodeDrawsAnotherSequenceAndTheSameEachTime) {
    const auto first = patiences(hold_limits(NodeId{0}, 4, 10us, 10us), 10);
    EXPECT_EQ(first, patiences(hold_limits(NodeId{0}, 4, 10us, 10us), 10));
    EXPECT_NE(first, patiences(hold_limits(NodeId{1}, 4, 10us, 10us), 10));
}

}  // namespace
}  // namespace vsmp::coherence
