#include "page_fault_broker/core/resident_set.hpp"

#include <gtest/gtest.h>

#include <set>

namespace vsmp::coherence {
namespace {

constexpr NodeId kSelf{0};
constexpr std::uint64_t kHomePages = 64;
constexpr std::uint64_t kLimit = 192;

// A node whose pages are all had for the asking; homes take what they are offered when told to.
struct Memory final : MemoryKeeper {
    explicit Memory(std::uint64_t limit = kLimit) : set{table, *this, limit} {}

    PageTable table{kSelf, HomeMap{{kHomePages, 65536}}};
    ResidentSet set;
    std::set<std::uint64_t> offered;
    std::vector<std::uint64_t> dropped, discarded;

    void unmap(PageNumber page) override { table.set(page, PageFlag::mapped, false); }
    void discard(PageNumber page) override { discarded.push_back(page.value()); }
    void evict(PageNumber page) override {
        LocalPage local = table.local(page);
        if (local.permission == Permission::shared && !local.source) {
            dropped.push_back(page.value());
            return lose(page.value());
        }
        local.releasing = true;
        table.set_local(page, local);
        offered.insert(page.value());
    }
    void lose(std::uint64_t page) {
        const bool offered_home = table.local(PageNumber{page}).releasing;
        table.set_local(PageNumber{page}, {});
        table.set(PageNumber{page}, PageFlag::mapped, false);
        set.on_lost(PageNumber{page});
        if (offered_home) set.on_offer_settled(PageNumber{page});
    }
    bool obtain(std::uint64_t page, Permission permission, Purpose purpose = Purpose::fetch) {
        if (!table.has(PageNumber{page}, PageFlag::framed) && !set.take(PageNumber{page}, purpose))
            return false;
        table.set_local(PageNumber{page}, {.permission = permission});
        touch(page);
        set.on_obtained(PageNumber{page});
        set.work_ahead();
        return true;
    }
    void touch(std::uint64_t page) { table.set(PageNumber{page}, PageFlag::mapped, true); }
    std::uint64_t take_offered() {
        const auto all = std::exchange(offered, {});
        for (const std::uint64_t page : all) lose(page);
        return all.size();
    }
};

TEST(ResidentSet, DropsTheColdestCopiesBeforeItReleasesAnything) {
    Memory memory;
    for (std::uint64_t page = 100; page < 400; ++page) {
        const bool owned = page < 150;
        ASSERT_TRUE(memory.obtain(page, owned ? Permission::exclusive : Permission::shared));
        EXPECT_LE(memory.set.counters().resident, kLimit);
    }
    EXPECT_TRUE(memory.offered.empty());
    ASSERT_FALSE(memory.dropped.empty());
    EXPECT_EQ(memory.dropped.front(), 150u);
    EXPECT_TRUE(std::ranges::is_sorted(memory.dropped));
    EXPECT_EQ(memory.discarded, memory.dropped);
}

TEST(ResidentSet, ReclaimsStaleCopiesFirst) {
    Memory memory;
    for (std::uint64_t page = 100; page < 240; ++page)
        ASSERT_TRUE(memory.obtain(page, Permission::shared));
    memory.lose(200);
    for (std::uint64_t page = 300; memory.discarded.empty(); ++page)
        ASSERT_TRUE(memory.obtain(page, Permission::shared));
    EXPECT_EQ(memory.discarded.front(), 200u);
}

TEST(ResidentSet, AStaleCopyThatCameBackStays) {
    Memory memory;
    ASSERT_TRUE(memory.obtain(100, Permission::shared));
    memory.lose(100);
    ASSERT_TRUE(memory.obtain(100, Permission::exclusive));
    for (std::uint64_t page = 200; page < 600; ++page)
        ASSERT_TRUE(memory.obtain(page, Permission::shared));
    EXPECT_EQ(memory.table.permission(PageNumber{100}), Permission::exclusive);
}

TEST(ResidentSet, SparesWhatIsTouchedAfterItWasSampled) {
    Memory memory;
    for (std::uint64_t page = 100; page < 600; ++page) {
        ASSERT_TRUE(memory.obtain(page, Permission::shared));
        if (memory.table.permission(PageNumber{100}) != Permission::none) memory.touch(100);
    }
    EXPECT_EQ(memory.table.permission(PageNumber{100}), Permission::shared);
    EXPECT_GE(memory.set.counters().spared, 1u);
}

TEST(ResidentSet, WaitsForHomesWhenNothingElseIsLeft) {
    Memory memory;
    std::uint64_t page = 100;
    while (memory.obtain(page, Permission::exclusive)) ++page;
    EXPECT_FALSE(memory.offered.empty());
    EXPECT_LT(memory.offered.size(), 20u) << "some at a time";
    EXPECT_GT(memory.take_offered(), 0u);
    EXPECT_TRUE(memory.obtain(page, Permission::exclusive));
}

TEST(ResidentSet, KeepsMemoryBackForItsHomePages) {
    Memory memory;
    std::uint64_t page = 100;
    while (memory.obtain(page, Permission::exclusive)) ++page;
    EXPECT_TRUE(memory.obtain(0, Permission::exclusive, Purpose::home));
    EXPECT_TRUE(memory.obtain(1, Permission::exclusive, Purpose::home));
    EXPECT_LE(memory.set.counters().resident, kLimit);
}

TEST(ResidentSet, AsksAheadOnlyWhenThereIsPlenty) {
    Memory memory;
    EXPECT_TRUE(memory.set.take(PageNumber{100}, Purpose::ahead));
    std::uint64_t page = 200;
    while (memory.obtain(page, Permission::exclusive)) ++page;
    EXPECT_FALSE(memory.set.take(PageNumber{900}, Purpose::ahead));
}

constexpr std::uint64_t kScanLimit = 4096, kAhead = 64;

// Goes through `count` pages from `first` on in order, fetching kAhead ahead; homes take at once.
// Of the last `untold` nobody tells that they were touched. Returns how many were not there.
std::uint64_t scan(Memory& memory, std::uint64_t first, std::uint64_t count, Permission permission,
                   std::uint64_t untold = 0) {
    std::uint64_t missed = 0;
    for (std::uint64_t page = first; page < first + count + kAhead; ++page) {
        const PageNumber fetched{page};
        if (page < first + count && memory.table.permission(fetched) == Permission::none) {
            ++missed;
            while (!memory.table.has(fetched, PageFlag::framed) &&
                   !memory.set.take(fetched, Purpose::fetch))
                EXPECT_GT(memory.take_offered(), 0u);
            memory.table.set(fetched, PageFlag::ahead, true);
            EXPECT_TRUE(memory.obtain(page, permission));
        }
        if (page < first + kAhead) continue;
        const PageNumber touched{page - kAhead};
        if (touched.value() < first + count - untold)
            memory.table.set(touched, PageFlag::ahead, false);
        memory.touch(touched.value());
        if (memory.table.permission(touched) != Permission::none) continue;
        ++missed;  // it has left meanwhile
        while (!memory.obtain(touched.value(), permission)) EXPECT_GT(memory.take_offered(), 0u);
    }
    return missed;
}

class Scans : public testing::TestWithParam<Permission> {
  protected:
    std::uint64_t scan(std::uint64_t first, std::uint64_t count) {
        return coherence::scan(memory_, first, count, GetParam());
    }
    Memory memory_{kScanLimit};
};

TEST_P(Scans, OfTwiceTheLimitFindAlmostHalfOfItAgain) {
    EXPECT_EQ(scan(1000, 2 * kScanLimit), 2 * kScanLimit);
    for (int i = 0; i < 40; ++i) EXPECT_LT(scan(1000, 2 * kScanLimit), kScanLimit * 12 / 10);
}

// A scan that has ended does not keep what another one is past.
TEST_P(Scans, OfWhichNobodyTellsThatTheyEnded) {
    for (int i = 0; i < 40; ++i) {
        const std::uint64_t missed =
            coherence::scan(memory_, 1000, 2 * kScanLimit, GetParam(), kAhead);
        EXPECT_LT(missed, i == 0 ? 2 * kScanLimit + 1 : kScanLimit * 12 / 10) << i;
    }
}

// Nothing could be gained, and nothing is lost.
TEST_P(Scans, OfFarMoreThanTheLimitFindNothing) {
    scan(1000, 4 * kScanLimit);
    EXPECT_EQ(scan(1000, 4 * kScanLimit), 4 * kScanLimit);
    EXPECT_EQ(memory_.set.counters().passing, 0u);
}

TEST_P(Scans, OfWhatFitsKeepIt) {
    scan(1000, kScanLimit * 9 / 10);
    EXPECT_EQ(scan(1000, kScanLimit * 9 / 10), 0u);
}

// Less is scanned than is kept, and it left not long ago: what is kept proves to be of no use.
TEST_P(Scans, OfWhatFitsGetTheMemoryOfAScanThatIsOver) {
    scan(30'000, kScanLimit * 8 / 10);
    scan(1000, kScanLimit);
    EXPECT_EQ(scan(30'000, kScanLimit * 8 / 10), kScanLimit * 8 / 10);
    EXPECT_GT(memory_.set.counters().passing, 0u);
    for (int i = 0; i < 4; ++i) scan(30'000, kScanLimit * 8 / 10);
    EXPECT_EQ(scan(30'000, kScanLimit * 8 / 10), 0u);
}

TEST_P(Scans, OfPartOfWhatWasScannedGetItIntoMemory) {
    for (int i = 0; i < 4; ++i) scan(1000, 2 * kScanLimit);
    for (int i = 0; i < 16; ++i) scan(1000, kScanLimit * 8 / 10);
    EXPECT_EQ(scan(1000, kScanLimit * 8 / 10), 0u);
}

// A scan that ended before it came to them.
TEST_P(Scans, PagesThatAreStillAwaitedLeaveWhenNothingElseIsLeft) {
    constexpr std::uint64_t kSmall = kHomePages + 16;
    Memory memory{kSmall};
    for (std::uint64_t page = 0; page < kHomePages; ++page) memory.set.adopt(PageNumber{page});
    std::uint64_t page = 1000;
    const auto fetch_ahead = [&] {
        if (memory.table.has(PageNumber{page}, PageFlag::framed)) {
            ++page;
            return;
        }
        while (!memory.set.take(PageNumber{page}, Purpose::fetch))
            ASSERT_GT(memory.take_offered(), 0u) << "page " << page;
        memory.table.set(PageNumber{page}, PageFlag::ahead, true);
        ASSERT_TRUE(memory.obtain(page++, GetParam()));
    };
    for (int round = 0; round < 3; ++round)
        for (page = 1000; page < 1000 + kSmall;) ASSERT_NO_FATAL_FAILURE(fetch_ahead());
    EXPECT_GT(memory.set.counters().passing, 0u);
}

INSTANTIATE_TEST_SUITE_P(Copies, Scans, testing::Values(Permission::shared));
INSTANTIATE_TEST_SUITE_P(Owned, Scans, testing::Values(Permission::exclusive));

TEST(ResidentSet, WithoutALimitNothingLeaves) {
    Memory memory;
    ResidentSet unlimited{memory.table, memory, 0};
    for (std::uint64_t page = 100; page < 1000; ++page)
        ASSERT_TRUE(unlimited.take(PageNumber{page}, Purpose::fetch));
    unlimited.work_ahead();
    EXPECT_EQ(unlimited.counters().resident, 900u);
    EXPECT_TRUE(memory.discarded.empty());
}

}  // namespace
}  // namespace vsmp::coherence
