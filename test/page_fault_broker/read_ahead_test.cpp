#include "page_fault_broker/core/read_ahead.hpp"

#include <gtest/gtest.h>

#include <iterator>
#include <random>
#include <set>
#include <vector>

namespace vsmp::coherence {
namespace {

constexpr auto all_of_them = [](PageNumber first, PageNumber end) {
    return end.value() - first.value();
};

constexpr auto none_of_them = [](PageNumber, PageNumber) { return false; };

// Faults at `page`; all that is wanted can be had. The number of pages asked for.
std::uint64_t touch(ReadAhead& ahead, std::uint64_t page, Access access = Access::read) {
    const auto request =
        ahead.on_fault(PageNumber{page}, access, all_of_them, none_of_them).request;
    if (!request) return 0;
    ahead.on_asked({PageNumber{request->first.value() + request->count}, request->count});
    return request->count;
}

TEST(ReadAhead, AsksForNothingWithoutOrder) {
    ReadAhead ahead{64};
    for (std::uint64_t page = 0; page < 4000; page += 7) EXPECT_EQ(touch(ahead, page), 0u);
}

TEST(ReadAhead, MoreIsAheadTheFurtherItWentUpToItsLimit) {
    ReadAhead ahead{16};
    EXPECT_EQ(touch(ahead, 100), 0u);
    EXPECT_EQ(touch(ahead, 101), 4u);  // 102 to 105, on trial
    for (std::uint64_t page = 102; page < 105; ++page) EXPECT_EQ(touch(ahead, page), 1u);
    EXPECT_EQ(touch(ahead, 105), 5u);  // no more: 8 ahead, to 113
    EXPECT_EQ(touch(ahead, 106), 0u);  // told by 105 already
    EXPECT_EQ(touch(ahead, 109), 4u);  // 8 ahead, to 117
    std::uint64_t end = 118;
    for (std::uint64_t page = 110; page < 151; ++page) end += touch(ahead, page);
    EXPECT_LE(end, 151u + 50 / 4);
    for (std::uint64_t page = 151; page < 400; ++page) end += touch(ahead, page);
    EXPECT_LE(end, 400u + 16);
    EXPECT_GE(end, 400u + 8);
}

TEST(ReadAhead, ATrialIsOverWhenItsPagesAreNotTouchedInOrder) {
    const auto all_are_markers = [](PageNumber first, PageNumber end) { return first < end; };
    ReadAhead ahead{64};
    touch(ahead, 100);
    EXPECT_EQ(touch(ahead, 101), 4u);
    EXPECT_FALSE(
        ahead.on_fault(PageNumber{104}, Access::read, all_of_them, all_are_markers).request);
    EXPECT_EQ(touch(ahead, 102), 0u) << "the stream is no more";
}

TEST(ReadAhead, AllPagesOfATrialAreMarkers) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    const auto request =
        ahead.on_fault(PageNumber{101}, Access::read, all_of_them, none_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_TRUE(request->is_on_trial());
    for (std::uint64_t page = 102; page < 106; ++page)
        EXPECT_TRUE(request->is_marker(PageNumber{page}));
}

// Some vCPUs that share a scan's work, say. Where there is no order at all it ends.
TEST(ReadAhead, AScanMayPassMarkersOverNowAndThen) {
    const auto some_are_markers = [](PageNumber, PageNumber) { return true; };
    ReadAhead ahead{64};
    std::uint64_t page = 100;
    while (page < 1000) touch(ahead, page++);
    const auto goes_on_over_markers = [&] {
        const auto advice =
            ahead.on_fault(PageNumber{page += 9}, Access::read, all_of_them, some_are_markers);
        if (advice.request) ahead.on_asked({PageNumber{advice.request->first.value() + 64}, 64});
        return advice.passed_from != advice.passed_to;
    };
    EXPECT_TRUE(goes_on_over_markers());
    while (page < 1200) touch(ahead, page++);
    EXPECT_TRUE(goes_on_over_markers());
    EXPECT_TRUE(goes_on_over_markers());
    EXPECT_FALSE(goes_on_over_markers());
}

TEST(ReadAhead, NeedsMoreNeighboursWhileMoreThanAFifthIsWasted) {
    ReadAhead ahead{64};
    const auto neighbours = [&](std::uint64_t first) {
        for (std::uint64_t count = 1; count < 100; ++count)
            if (touch(ahead, first + count) > 0) return count;
        return std::uint64_t{0};
    };
    EXPECT_EQ(neighbours(1000), 2u);
    ahead.on_fates(12, 4);
    EXPECT_EQ(neighbours(2000), 4u);
    ahead.on_fates(16, 8);  // too few to say anything
    EXPECT_EQ(neighbours(3000), 4u);
    for (std::uint64_t i = 1; i < 10; ++i) ahead.on_fates(12 + 12 * i, 4 + 4 * i);
    EXPECT_EQ(neighbours(4000), ReadAhead::neighbours(ReadAhead::kMostCaution));
    for (std::uint64_t i = 1; i < 40; ++i) ahead.on_fates(120 + 40 * i, 40);
    EXPECT_EQ(neighbours(5000), 2u);
}

// A node whose pages come at once; what was asked for and not touched is in vain when it is taken.
class FakeNode {
  public:
    // True: the page had been asked for ahead.
    bool touch(std::uint64_t page) {
        const bool was_ahead = ahead_.contains(page);
        if (here_.contains(page) && !markers_.contains(page)) {
            used_ += ahead_.erase(page);
            return was_ahead;
        }
        policy_.on_fates(used_, wasted_);
        const auto count = [&](PageNumber first, PageNumber end) {
            return static_cast<std::uint64_t>(
                std::distance(ahead_.lower_bound(first.value()), ahead_.lower_bound(end.value())));
        };
        const auto any = [&](PageNumber first, PageNumber end) {
            return markers_.lower_bound(first.value()) != markers_.lower_bound(end.value());
        };
        const auto request = policy_.on_fault(PageNumber{page}, Access::read, count, any).request;
        markers_.erase(page);
        used_ += ahead_.erase(page);
        here_.insert(page);
        if (request) ask(*request);
        return was_ahead;
    }
    void take(std::uint64_t page) {
        here_.erase(page);
        markers_.erase(page);
        wasted_ += ahead_.erase(page);
    }
    bool is_here(std::uint64_t page) const { return here_.contains(page); }
    std::uint64_t used() const { return used_; }
    std::uint64_t wasted() const { return wasted_; }

  private:
    void ask(const ReadAhead::Request& request) {
        std::uint64_t page = request.first.value(), asked = 0;
        for (std::uint64_t counted = 0; counted < request.count; ++counted, ++page) {
            if (!here_.insert(page).second) continue;
            ++asked;
            ahead_.insert(page);
            if (request.is_marker(PageNumber{page})) markers_.insert(page);
        }
        policy_.on_asked({PageNumber{page}, asked});
    }

    ReadAhead policy_{512};
    std::set<std::uint64_t> here_, ahead_, markers_;
    std::uint64_t used_ = 0, wasted_ = 0;
};

constexpr std::uint64_t kFar = 1'000'000;

// The first is read ahead of with caution.
TEST(ReadAhead, WhereScansAreLongMoreIsAheadOfTheNext) {
    FakeNode node;
    for (std::uint64_t i = 0; i < 4096; ++i) node.touch(i);
    const auto ahead_after = [&](std::uint64_t first) {
        for (std::uint64_t i = 0; i < 256; ++i) node.touch(first + i);
        std::uint64_t ahead = 256;
        while (node.is_here(first + ahead)) ++ahead;
        return ahead - 256;
    };
    FakeNode fresh;
    for (std::uint64_t i = 0; i < 256; ++i) fresh.touch(i);
    EXPECT_FALSE(fresh.is_here(256 + 256 / 4));
    EXPECT_GT(ahead_after(kFar), 128u);
}

// Of each scan what is ahead when it ends is in vain.
TEST(ReadAhead, WhereScansAreShortAFifthAtMostIsInVain) {
    constexpr std::uint64_t kScan = 48, kScans = 400;
    FakeNode node;
    for (std::uint64_t scan = 0; scan < kScans; ++scan) {
        for (std::uint64_t i = 0; i < kScan; ++i) node.touch(kFar * scan + i);
        for (std::uint64_t i = 0; i < 1024; ++i) node.take(kFar * scan + i);
    }
    EXPECT_GT(node.used(), kScans * kScan / 20) << "it is tried again";
    EXPECT_LE(5 * node.wasted(), node.used() + node.wasted());
}

// Any page of a table is touched at any time, and another node takes one now and then: there are
// neighbours by chance all the time.
TEST(ReadAhead, AsksForLittleWhereNeighboursMeetByChance) {
    constexpr std::uint64_t kTable = 256, kTouches = 40'000;
    FakeNode node;
    std::minstd_rand random{1};
    for (std::uint64_t i = 0; i < kTouches; ++i) {
        node.touch(random() % kTable);
        if (i % 4 == 0) node.take(random() % kTable);
    }
    EXPECT_LT(node.used() + node.wasted(), kTouches / 100);
}

// With four faults by chance for each page of the scan, of which the neighbours are in vain.
TEST(ReadAhead, AScanBesideFaultsByChanceIsReadAheadOf) {
    constexpr std::uint64_t kTable = 256, kScan = 4096, kScans = 3;
    FakeNode node;
    std::minstd_rand random{1};
    for (std::uint64_t i = 0; i < 4 * kTable; ++i) node.touch(random() % kTable);
    for (std::uint64_t scan = 1; scan <= kScans; ++scan) {
        std::uint64_t foreseen = 0;
        for (std::uint64_t i = 0; i < kScan; ++i) {
            foreseen += node.touch(kFar * scan + i) ? 1 : 0;
            for (int other = 0; other < 4; ++other) {
                node.take(random() % kTable);
                node.touch(random() % kTable);
            }
        }
        EXPECT_GT(100 * foreseen, 98 * kScan) << scan;
    }
}

TEST(ReadAhead, MarkersAreTheFirstOfARequestAndSomeOfTheOthers) {
    const ReadAhead::Request request{
        .first = PageNumber{30}, .count = 80, .marker_every = ReadAhead::kMarkerEvery};
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
                ahead.on_fault(PageNumber{page}, Access::read, all_of_them, none_of_them).request) {
            end = request->first.value() + request->count;
            for (std::uint64_t next = request->first.value(); next < end; ++next)
                if (request->is_marker(PageNumber{next})) markers.insert(next);
            ahead.on_asked({PageNumber{end}, request->count});
        }
        if (page >= 2048) least = std::min(least, end - page);
    }
    EXPECT_GE(least, 256u - ReadAhead::kMarkerEvery);
}

// Its marker was taken away.
TEST(ReadAhead, APageThatIsWantedBeforeItsMarkerWillDo) {
    ReadAhead ahead{64};
    for (std::uint64_t page = 100; page < 106; ++page) touch(ahead, page);  // 109 is a marker
    EXPECT_GT(touch(ahead, 112), 0u);
}

TEST(ReadAhead, AsksToWriteOnceTheStreamWrites) {
    ReadAhead ahead{64};
    touch(ahead, 10);
    touch(ahead, 11);
    EXPECT_FALSE(ahead.on_fault(PageNumber{11}, Access::write, all_of_them, none_of_them)
                     .request);  // an upgrade, behind
    const auto request =
        ahead.on_fault(PageNumber{12}, Access::read, all_of_them, none_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_EQ(request->access, Access::write);
}

TEST(ReadAhead, GoesOnWhereLittleCouldBeAskedFor) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    ASSERT_TRUE(ahead.on_fault(PageNumber{101}, Access::read, all_of_them, none_of_them).request);
    ahead.on_asked({PageNumber{102}});
    const auto request =
        ahead.on_fault(PageNumber{102}, Access::read, all_of_them, none_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_EQ(request->first, PageNumber{103});
    ahead.on_asked({PageNumber{105}, 2});
    EXPECT_GT(touch(ahead, 103), 0u);
}

// Pages from 500 to 509 are here.
TEST(ReadAhead, PagesThatAreHereAreNotAmongThoseAhead) {
    const auto still_ahead = [](PageNumber first, PageNumber end) {
        std::uint64_t count = 0;
        for (std::uint64_t page = first.value(); page < end.value(); ++page)
            count += page < 500 || page > 509 ? 1 : 0;
        return count;
    };
    const auto fault = [&](ReadAhead& ahead, std::uint64_t page) {
        return ahead.on_fault(PageNumber{page}, Access::read, still_ahead, none_of_them).request;
    };
    ReadAhead ahead{16};
    touch(ahead, 100);
    const auto first = fault(ahead, 101);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->most_here, 0u) << "nothing had to be fetched yet";
    ahead.on_asked({PageNumber{106}, 4});
    std::uint64_t end = 106;
    for (std::uint64_t page = 102; end < 500; ++page) end += touch(ahead, page);
    const auto second = fault(ahead, end - 1);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->first, PageNumber{end});
    EXPECT_EQ(second->count, 16u);
    EXPECT_GE(second->most_here, 10u);
    ahead.on_asked({PageNumber{end + 26}, 16});
    const auto third = fault(ahead, end + 16);
    ASSERT_TRUE(third);
    EXPECT_EQ(third->first, PageNumber{end + 26});
    EXPECT_EQ(third->count, 7u) << "behind the page there are 9 ahead";
}

// Nothing it passes over is ahead of it, and it does not go on for ever.
TEST(ReadAhead, LooksNoFurtherThanItMay) {
    const auto none = [](PageNumber, PageNumber) { return std::uint64_t{0}; };
    ReadAhead ahead{16};
    touch(ahead, 100);
    std::uint64_t end = 102;
    for (std::uint64_t page = 101; page < 110; ++page) {
        const auto request =
            ahead.on_fault(PageNumber{page}, Access::read, none, none_of_them).request;
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
    for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(touch(ahead, 1000 * i + 2), 1u);
}

// A vCPU that goes through memory and makes few faults, beside one that faults anywhere.
TEST(ReadAhead, AStreamSurvivesFaultsWithoutOrder) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    EXPECT_EQ(touch(ahead, 101), 4u);
    for (std::uint64_t i = 1; i < 1000; ++i) EXPECT_EQ(touch(ahead, 10'000 + 700 * i), 0u);
    EXPECT_EQ(touch(ahead, 102), 1u);
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
    const auto request =
        ahead.on_fault(PageNumber{101}, Access::read, all_of_them, none_of_them).request;
    ASSERT_TRUE(request);
    EXPECT_EQ(request->access, Access::write);
}

TEST(ReadAhead, TellsWhatAScanPassed) {
    ReadAhead ahead{64};
    touch(ahead, 100);
    touch(ahead, 101);
    const auto advice = ahead.on_fault(PageNumber{104}, Access::read, all_of_them, none_of_them);
    EXPECT_EQ(advice.passed_from, PageNumber{102});
    EXPECT_EQ(advice.passed_to, PageNumber{104});
    ahead.on_asked({advice.request->first});
    const auto behind = ahead.on_fault(PageNumber{102}, Access::write, all_of_them, none_of_them);
    EXPECT_EQ(behind.passed_from, behind.passed_to);
}

TEST(ReadAhead, CanBeSwitchedOff) {
    ReadAhead ahead{0};
    for (std::uint64_t page = 0; page < 100; ++page) EXPECT_EQ(touch(ahead, page), 0u);
}

}  // namespace
}  // namespace vsmp::coherence
