#include "page_fault_broker/core/page_table.hpp"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <random>

namespace vsmp::coherence {
namespace {

constexpr NodeId kSelf{1};

TEST(PageTable, PagesNobodyAskedForAreAsTheProtocolSays) {
    const PageTable table{kSelf, HomeMap{{4, 4, 4}}};
    for (std::uint64_t page = 0; page < 12; ++page) {
        const NodeId home{static_cast<std::uint8_t>(page / 4)};
        EXPECT_EQ(table.local(PageNumber{page}), initial_local_page(kSelf, home));
    }
    EXPECT_EQ(table.home(PageNumber{4}), initial_home_page(kSelf));
    EXPECT_FALSE(table.is_home(PageNumber{3}));
    EXPECT_TRUE(table.is_home(PageNumber{7}));
    EXPECT_FALSE(table.is_home(PageNumber{8}));
}

TEST(PageTable, KeepsEveryStateAndForgetsWhatIsOver) {
    PageTable table{kSelf, HomeMap{{4, 4}}};
    std::array<LocalPage, 8> locals;
    std::array<HomePage, 8> homes;
    for (std::uint64_t page = 0; page < 8; ++page) {
        locals[page] = table.local(PageNumber{page});
        if (table.is_home(PageNumber{page})) homes[page] = table.home(PageNumber{page});
    }
    std::mt19937_64 random{1};
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    for (int i = 0; i < 10'000; ++i) {
        const PageNumber page{below(8)};
        LocalPage local{.permission = static_cast<Permission>(below(3)), .source = below(2) == 0};
        if (below(2) == 0) {
            local.request = static_cast<Request>(below(3));
            local.held = below(2) == 0;
            local.deferred_version = below(2);
            local.acks_missing = static_cast<std::int16_t>(static_cast<int>(below(9)) - 4);
        }
        table.set(page, PageFlag::mapped, i % 2 == 0);
        table.set_local(page, local);
        locals[page.value()] = local;
        for (std::uint64_t each = 0; each < 8; ++each)
            EXPECT_EQ(table.local(PageNumber{each}), locals[each]);
        EXPECT_EQ(table.permission(page), local.permission);
        EXPECT_EQ(table.has(page, PageFlag::mapped), i % 2 == 0);
        if (!table.is_home(page)) continue;
        HomePage home{.sharers = random(),
                      .owner = static_cast<std::uint8_t>(below(64)),
                      .requester = static_cast<std::uint8_t>(below(64)),
                      .exclusive = below(2) == 0,
                      .busy = below(2) == 0};
        if (home.busy) home.waiting_readers = random();
        table.set_home(page, home);
        homes[page.value()] = home;
        for (std::uint64_t each = 4; each < 8; ++each)
            EXPECT_EQ(table.home(PageNumber{each}), homes[each]);
    }
    for (std::uint64_t page = 0; page < 8; ++page) table.set_local(PageNumber{page}, {});
    for (std::uint64_t page = 4; page < 8; ++page) table.set_home(PageNumber{page}, {});
    EXPECT_EQ(table.active_pages(), 0u);
}

TEST(PageTable, ANoteStaysUntilThePageMoves) {
    PageTable table{kSelf, HomeMap{{4, 4}}};
    const PageNumber page{2};
    table.set_note(page, PageTable::kMaxNote);
    table.set(page, PageFlag::framed, true);
    table.set_local(page, {.permission = Permission::shared});
    EXPECT_EQ(table.note(page), PageTable::kMaxNote);
    EXPECT_EQ(table.permission(page), Permission::shared);
    const LocalPage moving{.permission = Permission::shared, .request = Request::write};
    table.set_local(page, moving);
    EXPECT_EQ(table.note(page), 0u);
    table.set_note(page, 5);
    EXPECT_EQ(table.local(page), moving);
    table.set_local(page, {});
    EXPECT_EQ(table.note(page), 0u);
    EXPECT_TRUE(table.has(page, PageFlag::framed));
    EXPECT_EQ(table.active_pages(), 0u);
}

struct Pages {  // of this process
    std::int64_t mapped = 0, resident = 0;
};

Pages process_pages() {
    std::ifstream status{"/proc/self/statm"};
    Pages pages;
    status >> pages.mapped >> pages.resident;
    return pages;
}

// 268,435,456 pages: 1 GiB of words and, at home, 1.5 GiB of entries, of which next to nothing is
// used.
TEST(PageTable, OfAOneTebibyteGuestCanBeHadSparsely) {
    constexpr std::uint64_t kPages = (std::uint64_t{1} << 40) / kPageSize;
    constexpr std::int64_t kSlack = (4 << 20) / kPageSize;
    static_assert(kBytesPerPage <= 4 && kBytesPerPageAtHome <= 16);
    const Pages before = process_pages();
    PageTable table{kSelf, HomeMap{{kPages / 2, kPages / 2}}};
    const Pages made = process_pages();
    EXPECT_LE((made.mapped - before.mapped - kSlack) * static_cast<std::int64_t>(kPageSize),
              static_cast<std::int64_t>(kPages / 2 * (kBytesPerPage + kBytesPerPageAtHome)));
    for (std::uint64_t page = 0; page < kPages; page += kPages / 64) {
        table.set_local(PageNumber{page}, {.permission = Permission::shared});
        if (table.is_home(PageNumber{page}))
            table.set_home(PageNumber{page}, {.sharers = 3, .exclusive = false});
    }
    EXPECT_EQ(table.permission(PageNumber{kPages - kPages / 64}), Permission::shared);
    EXPECT_LT(process_pages().resident - before.resident, kSlack);
}

}  // namespace
}  // namespace vsmp::coherence
