#include "page_fault_broker/core/read_ahead.hpp"

#include <gtest/gtest.h>

namespace vsmp::coherence {
namespace {

// Faults at `page`; all that is wanted can be had. The number of pages asked for.
std::uint64_t touch(ReadAhead& ahead, std::uint64_t page, Access access = Access::read) {
    const auto window = ahead.on_fault(PageNumber{page}, access);
    if (!window) return 0;
    ahead.on_asked(window->count);
    return window->count;
}

TEST(ReadAhead, AsksForNothingWithoutOrder) {
    ReadAhead ahead{64};
    for (std::uint64_t page = 0; page < 4000; page += 7) EXPECT_EQ(touch(ahead, page), 0u);
    EXPECT_EQ(ahead.counters().asked, 0u);
}

TEST(ReadAhead, DoublesTheWindowWhenItsMarkerIsTouchedUpToItsLimit) {
    ReadAhead ahead{16};
    EXPECT_EQ(touch(ahead, 10), 0u);
    EXPECT_EQ(touch(ahead, 11), 4u);   // 12 to 15
    EXPECT_EQ(touch(ahead, 12), 8u);   // 16 to 23
    EXPECT_EQ(touch(ahead, 13), 0u);   // used already
    EXPECT_EQ(touch(ahead, 16), 16u);  // 24 to 39
    EXPECT_EQ(touch(ahead, 24), 16u);  // 40 to 55
    EXPECT_EQ(ahead.counters().used, 28u);
    EXPECT_EQ(ahead.counters().wasted, 0u);
}

TEST(ReadAhead, APageOfTheWindowThatIsWantedBeforeItsMarkerWillDo) {
    ReadAhead ahead{64};
    touch(ahead, 10);
    touch(ahead, 11);
    EXPECT_EQ(touch(ahead, 14), 8u);
}

TEST(ReadAhead, AsksToWriteOnceTheStreamWrites) {
    ReadAhead ahead{64};
    touch(ahead, 10);
    touch(ahead, 11);
    EXPECT_FALSE(ahead.on_fault(PageNumber{11}, Access::write));  // an upgrade, behind the window
    const auto window = ahead.on_fault(PageNumber{12}, Access::read);
    ASSERT_TRUE(window);
    EXPECT_EQ(window->access, Access::write);
}

TEST(ReadAhead, GoesOnWhereLittleCouldBeAskedFor) {
    ReadAhead ahead{64};
    touch(ahead, 10);
    ASSERT_TRUE(ahead.on_fault(PageNumber{11}, Access::read));
    ahead.on_asked(0);
    const auto window = ahead.on_fault(PageNumber{12}, Access::read);
    ASSERT_TRUE(window);
    EXPECT_EQ(window->first, PageNumber{13});
    ahead.on_asked(2);
    EXPECT_EQ(touch(ahead, 13), 8u);
    EXPECT_EQ(ahead.counters().asked, 10u);
}

TEST(ReadAhead, SeveralStreamsDoNotDisturbEachOther) {
    ReadAhead ahead{8};
    for (std::uint64_t i = 0; i < 8; ++i) touch(ahead, 1000 * i);
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(touch(ahead, 1000 * i + 1), 4u);
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(touch(ahead, 1000 * i + 2), 8u);
}

// Pairs of neighbours and never a third: each costs less, in the end one page.
TEST(ReadAhead, ShrinksOnWasteAndRecovers) {
    ReadAhead ahead{64};
    std::uint64_t asked = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
        touch(ahead, 1000 * i);
        asked = touch(ahead, 1000 * i + 1);
    }
    EXPECT_EQ(asked, ReadAhead::kSmallestWindow);
    EXPECT_GT(ahead.counters().wasted, 90u);
    EXPECT_EQ(touch(ahead, 99'002), 2u);
    EXPECT_EQ(touch(ahead, 99'003), 4u);
    touch(ahead, 500'000);
    EXPECT_GT(touch(ahead, 500'001), ReadAhead::kSmallestWindow);
}

TEST(ReadAhead, CanBeSwitchedOff) {
    ReadAhead ahead{0};
    for (std::uint64_t page = 0; page < 100; ++page) EXPECT_EQ(touch(ahead, page), 0u);
}

}  // namespace
}  // namespace vsmp::coherence
