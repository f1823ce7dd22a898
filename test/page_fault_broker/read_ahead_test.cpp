#include "page_fault_broker/core/read_ahead.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace vsmp::coherence {
namespace {

constexpr auto all_of_them = [](PageNumber first, PageNumber end) {
    return end.value() - first.value();
};

// Faults at `page`; all that is wanted can be had. The number of pages asked for.
std::uint64_t touch(ReadAhead& ahead, std::uint64_t page, Access access = Access::read) {
    const auto request = ahead.on_fault(PageNumber{page}, access, all_of_them).request;
    if (!request) return 0;
    ahead.on_asked({PageNumber{request->first.value() + request->count}, request->count});
    return request->count;
}

TEST(ReadAhead, AsksForNothingWithoutOrder) {
    ReadAhead ahead{64};
    for (std::uint64_t page = 0; page < 4000; page += 7) EXPECT_EQ(touch(ahead, page), 0u);
}

TEST(ReadAhead, DoublesWhatIsAheadWhenAMarkerIsTouchedUpToItsLimit) {
    ReadAhead ahead{16};
    EXPECT_EQ(touch(ahead, 100), 0u);
    EXPECT_EQ(touch(ahead, 101), 4u);   // 102 to 105
    EXPECT_EQ(touch(ahead, 102), 5u);   // to 110: 8 ahead
    EXPECT_EQ(touch(ahead, 103), 0u);   // told by 102 already
    EXPECT_EQ(touch(ahead, 106), 12u);  // to 122: 16 ahead
    EXPECT_EQ(touch(ahead, 111), 5u);   // to 127
}

TEST(ReadAhead, NeedsMoreNeighboursWhileMoreThanAFifthIsWasted) {
    ReadAhead ahead{64};
    ahead.on_fates(12, 4);
    EXPECT_EQ(touch(ahead, 100) + touch(ahead, 101), 0u);
    EXPECT_GT(touch(ahead, 102), 0u);
    ahead.on_fates(16, 8);  // too few to say anything
    EXPECT_EQ(touch(ahead, 300) + touch(ahead, 301), 0u);
    EXPECT_GT(touch(ahead, 302), 0u);
    ahead.on_fates(40, 4);
    EXPECT_EQ(touch(ahead, 500), 0u);
    EXPECT_GT(touch(ahead, 501), 0u);
}

TEST(ReadAhead, MarkersAreTheFirstOfARequestAndSomeOfTheOthers) {
    const ReadAhead::Request request{.first = PageNumber{30}, .count = 80};
    std::vector<std::uint64_t> markers;
    for (std::uint64_t page = 30; page < 110; ++page)
        if (request.is_marker(PageNumber{page})) markers.push_back(page);
    EXPECT_EQ(markers, (std::vector<std::uint64_t>{30, 94}));
}

TEST(ReadAhead, KeepsSeveralRequestsUnderWay) {
    ReadAhead ahead{256};
    std::uint64_t end = 0, least = 256;
    std::set<std::uint64_t> markers;
    for (std::uint64_t page = 0; page < 4096; ++page) {
        if (page < end && !markers.contains(page)) continue;  // mapped
        if (const auto request =
                ahead.on_fault(PageNumber{page}, Access::read, all_of_them).request) {
            end = request->first.value() + request->count;
            for (std::uint64_t next = request->first.value(); next < end; ++next)
                if (request->is_marker(PageNumber{next})) markers.insert(next);
            ahead.on_asked({PageNumber{end}, request->count});
        }
        if (page >= 1024) least = std::min(least, end - page);
    }
    EXPECT_GE(least, 256u - ReadAhead::kMarkerEvery);
}

TEST(ReadAhead, APageThatIsWantedBeforeItsMarkerWillDo) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    touch(ahead, 101);
    EXPECT_GT(touch(ahead, 104), 0u);
}

TEST(ReadAhead, AsksToWriteOnceTheStreamWrites) {
    ReadAhead ahead{64};
    touch(ahead, 10);
    touch(ahead, 11);
    EXPECT_FALSE(
        ahead.on_fault(PageNumber{11}, Access::write, all_of_them).request);  // an upgrade, behind
    const auto request = ahead.on_fault(PageNumber{12}, Access::read, all_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_EQ(request->access, Access::write);
}

TEST(ReadAhead, GoesOnWhereLittleCouldBeAskedFor) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    ASSERT_TRUE(ahead.on_fault(PageNumber{101}, Access::read, all_of_them).request);
    ahead.on_asked({PageNumber{102}});
    const auto request = ahead.on_fault(PageNumber{102}, Access::read, all_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_EQ(request->first, PageNumber{103});
    ahead.on_asked({PageNumber{105}, 2});
    EXPECT_GT(touch(ahead, 103), 0u);
}

// Pages from 106 to 115 are here.
TEST(ReadAhead, PagesThatAreHereAreNotAmongThoseAhead) {
    const auto still_ahead = [](PageNumber first, PageNumber end) {
        std::uint64_t count = 0;
        for (std::uint64_t page = first.value(); page < end.value(); ++page)
            count += page < 106 || page > 115 ? 1 : 0;
        return count;
    };
    ReadAhead ahead{16};
    touch(ahead, 100);
    const auto first = ahead.on_fault(PageNumber{101}, Access::read, still_ahead).request;
    ASSERT_TRUE(first);
    EXPECT_EQ(first->most_here, 0u) << "nothing had to be fetched yet";
    ahead.on_asked({PageNumber{106}, 4});
    const auto second = ahead.on_fault(PageNumber{102}, Access::read, still_ahead).request;
    ASSERT_TRUE(second);
    EXPECT_EQ(second->first, PageNumber{106});
    EXPECT_EQ(second->count, 5u) << "103 to 105 are ahead, and 8 shall be";
    EXPECT_GE(second->most_here, 10u);
    ahead.on_asked({PageNumber{121}, 5});
    const auto third = ahead.on_fault(PageNumber{106}, Access::read, still_ahead).request;
    ASSERT_TRUE(third);
    EXPECT_EQ(third->first, PageNumber{121});
    EXPECT_EQ(third->count, 11u) << "116 to 120 are ahead, and 16 shall be";
}

// Nothing it passes over is ahead of it, and it does not go on for ever.
TEST(ReadAhead, LooksNoFurtherThanItMay) {
    const auto none = [](PageNumber, PageNumber) { return std::uint64_t{0}; };
    ReadAhead ahead{16};
    touch(ahead, 100);
    std::uint64_t end = 102;
    for (std::uint64_t page = 101; page < 110; ++page) {
        const auto request = ahead.on_fault(PageNumber{page}, Access::read, none).request;
        if (!request) continue;
        end = request->first.value() + request->count + request->most_here;
        ahead.on_asked({PageNumber{end}, 1});
    }
    EXPECT_LT(end, 110 + (ReadAhead::kFarthest + 1 + ReadAhead::kMostHere) * 16);
}

TEST(ReadAhead, SeveralStreamsDoNotDisturbEachOther) {
    ReadAhead ahead{8};
    for (std::uint64_t i = 0; i < 8; ++i) touch(ahead, 1000 * i);
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(touch(ahead, 1000 * i + 1), 4u);
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(touch(ahead, 1000 * i + 2), 5u);
}

// A vCPU that goes through memory and makes few faults, beside one that faults anywhere.
TEST(ReadAhead, AStreamSurvivesFaultsWithoutOrder) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    EXPECT_EQ(touch(ahead, 101), 4u);
    for (std::uint64_t i = 1; i < 1000; ++i) EXPECT_EQ(touch(ahead, 10'000 + 700 * i), 0u);
    EXPECT_EQ(touch(ahead, 102), 5u);
}

TEST(ReadAhead, ASecondScanOfTheSamePagesIsRecognised) {
    ReadAhead ahead{64};
    for (std::uint64_t page = 0; page < 2000; ++page) touch(ahead, page);
    EXPECT_EQ(touch(ahead, 0), 0u);
    EXPECT_GT(touch(ahead, 1), 0u);
    EXPECT_GT(touch(ahead, 2), 0u);
}

TEST(ReadAhead, ThePageWrittenAfterItWasReadIsNoNeighbour) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    EXPECT_EQ(touch(ahead, 100, Access::write), 0u);
    const auto request = ahead.on_fault(PageNumber{101}, Access::read, all_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_EQ(request->access, Access::write);
}

TEST(ReadAhead, TellsWhatAScanPassed) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    touch(ahead, 101);
    const auto advice = ahead.on_fault(PageNumber{104}, Access::read, all_of_them);
    EXPECT_EQ(advice.passed_from, PageNumber{102});
    EXPECT_EQ(advice.passed_to, PageNumber{104});
    ahead.on_asked({advice.request->first});
    const auto behind = ahead.on_fault(PageNumber{102}, Access::write, all_of_them);
    EXPECT_EQ(behind.passed_from, behind.passed_to);
}

// Pairs of neighbours and never a third: each costs less, in the end one page.
TEST(ReadAhead, ShrinksOnWasteAndRecovers) {
    ReadAhead ahead{64};
    std::uint64_t asked = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
        touch(ahead, 1000 * i);
        asked = touch(ahead, 1000 * i + 1);
    }
    EXPECT_EQ(asked, ReadAhead::kSmallestStart);
    for (std::uint64_t page = 99'002; page < 99'200; ++page) touch(ahead, page);
    touch(ahead, 500'000);
    EXPECT_GT(touch(ahead, 500'001), ReadAhead::kSmallestStart);
}

TEST(ReadAhead, CanBeSwitchedOff) {
    ReadAhead ahead{0};
    for (std::uint64_t page = 0; page < 100; ++page) EXPECT_EQ(touch(ahead, page), 0u);
}

}  // namespace
}  // namespace vsmp::coherence
