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
    PageTable table{kSelf, HomeMap{{kHomePages, 1024}}};
    ResidentSet set{table, *this, kLimit};
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
        if (table.local(PageNumber{page}).releasing) set.on_offer_settled();
        table.set_local(PageNumber{page}, {});
        table.set(PageNumber{page}, PageFlag::mapped, false);
        set.on_lost(PageNumber{page});
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
