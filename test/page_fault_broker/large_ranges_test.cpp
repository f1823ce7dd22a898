#include "page_fault_broker/core/large_ranges.hpp"

#include <gtest/gtest.h>

namespace vsmp::coherence {
namespace {

using namespace std::chrono_literals;

constexpr Instant kNow{1s};

PageNumber in_range(std::uint64_t range, std::uint64_t page = 0) {
    return PageNumber{range * kPagesPerRange + page};
}

void map_all(LargeRanges& ranges, std::uint64_t range) {
    for (std::uint64_t page = 0; page < kPagesPerRange; ++page)
        ranges.on_mapped(in_range(range, page));
}

LargeRanges eight() {  // from range 2 on
    return LargeRanges{{in_range(2), 8 * kPagesPerRange}, 6};
}

TEST(LargeArea, IsWholeRanges) {
    EXPECT_EQ(large_area(PageNumber{1}, 3 * kPagesPerRange).first, in_range(1));
    EXPECT_EQ(large_area(PageNumber{1}, 3 * kPagesPerRange).count, 2 * kPagesPerRange);
    EXPECT_EQ(large_area(in_range(4), kPagesPerRange).count, kPagesPerRange);
    EXPECT_EQ(large_area(PageNumber{1}, kPagesPerRange).count, 0u);
}

TEST(LargeRanges, ARangeIsACandidateOnceAllOfItWasMapped) {
    LargeRanges ranges = eight();
    for (std::uint64_t page = 1; page < kPagesPerRange; ++page) ranges.on_mapped(in_range(3, page));
    EXPECT_FALSE(ranges.next_look());
    ranges.on_mapped(in_range(3));
    ASSERT_TRUE(ranges.next_look());
    EXPECT_EQ(ranges.candidate(), in_range(3));
    ranges.collapsed(kNow);
    EXPECT_FALSE(ranges.next_look());
    map_all(ranges, 3);  // faults for some other reason
    EXPECT_FALSE(ranges.next_look());
    EXPECT_EQ(ranges.counters().collapsed, 1u);
}

TEST(LargeRanges, OtherNodesPagesAreNone) {
    LargeRanges ranges = eight();
    map_all(ranges, 1);
    map_all(ranges, 10);
    EXPECT_FALSE(ranges.next_look());
    EXPECT_FALSE(ranges.before_sharing(in_range(1)));
    EXPECT_FALSE(ranges.before_sharing(in_range(10)));
}

TEST(LargeRanges, AreMadeOneAfterTheOther) {
    LargeRanges ranges = eight();
    map_all(ranges, 3);
    map_all(ranges, 4);
    ranges.collapsed(kNow);
    EXPECT_EQ(ranges.next_look(), kNow + LargeRanges::kBetween);
    EXPECT_EQ(ranges.candidate(), in_range(4));
}

TEST(LargeRanges, WhatIsNotCompleteIsLookedAtAgainWhenTheRestWasMapped) {
    LargeRanges ranges = eight();
    map_all(ranges, 3);
    ranges.incomplete(kPagesPerRange - 2, kNow);
    ranges.on_mapped(in_range(3, 7));
    EXPECT_FALSE(ranges.next_look());
    ranges.on_mapped(in_range(3, 8));
    EXPECT_TRUE(ranges.next_look());
}

TEST(LargeRanges, WhatTheKernelRefusesIsTriedAgainBehindTheOthersAndNotForEver) {
    LargeRanges ranges = eight();
    map_all(ranges, 3);
    map_all(ranges, 4);
    ranges.failed(kNow);
    EXPECT_EQ(ranges.candidate(), in_range(4));
    ranges.collapsed(kNow);
    for (int i = 1; i < LargeRanges::kMostTries; ++i) {
        ASSERT_TRUE(ranges.next_look());
        EXPECT_EQ(ranges.counters().failed, 0u);
        ranges.failed(kNow);
    }
    map_all(ranges, 3);
    EXPECT_FALSE(ranges.next_look());
    EXPECT_EQ(ranges.counters().failed, 1u);
}

TEST(LargeRanges, ASharedPageSplitsItsRangeOnceAndForEver) {
    LargeRanges ranges = eight();
    map_all(ranges, 3);
    ranges.collapsed(kNow);
    const auto split = ranges.before_sharing(in_range(3, 100));
    ASSERT_TRUE(split);
    EXPECT_EQ(split->area.first, in_range(3));
    EXPECT_EQ(split->area.count, kPagesPerRange);
    EXPECT_EQ(split->large, std::vector{in_range(3)});
    EXPECT_FALSE(ranges.before_sharing(in_range(3, 101)));
    map_all(ranges, 3);
    EXPECT_FALSE(ranges.next_look());
    EXPECT_EQ(ranges.counters().split_large, 1u);
}

TEST(LargeRanges, WhatIsSharedBeforeItWasMadeIsNoCandidateAnyMore) {
    LargeRanges ranges = eight();
    map_all(ranges, 3);
    const auto split = ranges.before_sharing(in_range(3));
    ASSERT_TRUE(split);
    EXPECT_TRUE(split->large.empty());
    EXPECT_FALSE(ranges.next_look());
}

TEST(LargeRanges, NeighboursThatAreSplitNeedNoMoreAreas) {
    LargeRanges ranges = eight();
    for (std::uint64_t range = 2; range < 10; ++range) {
        const auto split = ranges.before_sharing(in_range(range));
        ASSERT_TRUE(split);
        EXPECT_EQ(split->area.count, kPagesPerRange) << range;
    }
}

TEST(LargeRanges, TooManyAreasSplitEverything) {
    LargeRanges ranges = eight();
    map_all(ranges, 9);
    ranges.collapsed(kNow);
    EXPECT_EQ(ranges.before_sharing(in_range(3))->area.count, kPagesPerRange);  // 4 borders
    EXPECT_EQ(ranges.before_sharing(in_range(5))->area.count, kPagesPerRange);  // 6
    const auto all = ranges.before_sharing(in_range(7));
    ASSERT_TRUE(all);
    EXPECT_EQ(all->area.count, 8 * kPagesPerRange);
    EXPECT_EQ(all->large, std::vector{in_range(9)});
    for (std::uint64_t range = 2; range < 10; ++range)
        EXPECT_FALSE(ranges.before_sharing(in_range(range)));
}

}  // namespace
}  // namespace vsmp::coherence
