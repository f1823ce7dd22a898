#include "page_fault_broker/core/hold_table.hpp"

#include <gtest/gtest.h>

#include <set>

namespace vsmp::coherence {
namespace {

using namespace std::chrono_literals;

constexpr Claimant kVcpu{0};
constexpr Claimant kOther{1};
// hold 10us, first limit 100us, 50us more for each defeat.
constexpr HoldLimits kLimits{.hold = 10us, .burst_limit = 100us, .limit_growth = 50us};

Instant at(Duration when) { return Instant{1s + when}; }
PageNumber page(std::uint64_t number) { return PageNumber{number}; }

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

TEST(HoldTable, ABurstThatWaitsTooLongLetsGoOfEverything) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(99), at(5us));
    EXPECT_EQ(table.next_deadline(), at(100us));
    EXPECT_EQ(table.over(100us), Table::Pages{1});
    EXPECT_FALSE(table.next_deadline());
}

TEST(HoldTable, AJustGrantedPageIsHeldEvenAtTheLimit) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(2), at(5us));
    table.on_granted(kVcpu, page(2), at(99us));
    EXPECT_EQ(table.over(108us), Table::Pages{});
    table.on_fault(kVcpu, page(99), at(108us));
    EXPECT_EQ(table.over(108us), (Table::Pages{1, 2}));
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

TEST(HoldTable, DefeatsMakeTheLimitLongerUntilAVictory) {
    Table table;
    std::uint64_t next = 0;
    for (const Duration limit : {100us, 150us, 200us}) {
        table.on_granted(kVcpu, page(next), at(0us));
        table.on_fault(kVcpu, page(++next), at(0us));
        EXPECT_EQ(table.next_deadline(), at(limit));
        table.over(limit);
    }
    table.on_granted(kVcpu, page(next), at(0us));
    EXPECT_EQ(table.over(10us), Table::Pages{next});
    table.on_granted(kVcpu, page(50), at(20us));
    table.on_fault(kVcpu, page(51), at(20us));
    EXPECT_EQ(table.next_deadline(), at(120us));
}

TEST(HoldTable, TheGrowthOfTheLimitIsBounded) {
    Table table;
    for (std::uint32_t i = 0; i < 2 * kMaxCuts; ++i) {
        table.on_granted(kVcpu, page(1), at(0us));
        table.on_fault(kVcpu, page(99), at(0us));
        table.over(1s);
    }
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_fault(kVcpu, page(99), at(0us));
    EXPECT_EQ(table.next_deadline(), at(100us + 50us * kMaxCuts));
}

TEST(HoldTable, APageOfTwoBurstsIsHeldUntilBothAreOver) {
    Table table;
    table.on_granted(kVcpu, page(1), at(0us));
    table.on_granted(kOther, page(1), at(0us));
    table.on_fault(kOther, page(99), at(5us));
    EXPECT_EQ(table.over(10us), Table::Pages{});
    EXPECT_EQ(table.over(100us), Table::Pages{1});
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
    // That was progress: the limit counts from here.
    table.on_fault(kVcpu, page(99), at(71us));
    EXPECT_EQ(table.next_deadline(), at(170us));
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

TEST(HoldLimits, DifferBetweenAnyTwoNodesWhateverTheirDefeats) {
    for (const std::size_t nodes : {std::size_t{2}, std::size_t{3}, kMaxNodes}) {
        std::set<Duration> limits;
        for (std::size_t node = 0; node < nodes; ++node) {
            const auto own = hold_limits(NodeId{static_cast<std::uint8_t>(node)}, nodes, 10us);
            EXPECT_GE(own.burst_limit, 40 * own.hold);
            for (std::uint32_t cuts = 0; cuts <= kMaxCuts; ++cuts)
                EXPECT_TRUE(limits.insert(own.burst_limit + cuts * own.limit_growth).second);
        }
    }
}

}  // namespace
}  // namespace vsmp::coherence
