#include "page_fault_broker/core/ahead_ledger.hpp"

#include <gtest/gtest.h>

namespace vsmp::coherence {
namespace {

// Node 1 of two; pages 0 to 63 are homed at node 0.
class AheadLedgerTest : public ::testing::Test {
  protected:
    void ask(std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t page = first; page < first + count; ++page)
            ledger_.on_asked(PageNumber{page});
    }
    void arrive(std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t page = first; page < first + count; ++page)
            table_.set_local(PageNumber{page}, {.permission = Permission::shared});
    }
    void mark(std::uint64_t page) { table_.set(PageNumber{page}, PageFlag::on_touch, true); }
    void expect(std::uint64_t asked, std::uint64_t used, std::uint64_t wasted) {
        EXPECT_EQ(ledger_.counters().asked, asked);
        EXPECT_EQ(ledger_.counters().used, used);
        EXPECT_EQ(ledger_.counters().wasted, wasted);
    }

    PageTable table_{NodeId{1}, HomeMap{{64, 64}}};
    AheadLedger ledger_{table_};
};

TEST_F(AheadLedgerTest, APageIsUsedAtItsFirstTouchOnly) {
    ask(3, 1);
    arrive(3, 1);
    ledger_.on_fault(PageNumber{3});
    ledger_.on_fault(PageNumber{3});
    ledger_.on_lost(PageNumber{3});
    expect(1, 1, 0);
}

TEST_F(AheadLedgerTest, AMarkerThatLeavesUntouchedIsWastedAndSoIsWhatLiesBehindIt) {
    ask(3, 6);
    arrive(3, 6);
    mark(4);
    mark(7);
    ledger_.on_lost(PageNumber{4});
    expect(6, 0, 3);  // 4, 5 and 6
    ledger_.on_lost(PageNumber{8});
    expect(6, 0, 4);
    ledger_.on_lost(PageNumber{20});  // nobody asked for it ahead
    expect(6, 0, 4);
}

TEST_F(AheadLedgerTest, OfWhatLeavesBeforeTheNextMarkerNothingIsKnown) {
    ask(3, 4);
    arrive(3, 4);
    mark(5);
    ledger_.on_lost(PageNumber{4});
    ledger_.on_passed(PageNumber{3}, PageNumber{5});
    expect(4, 1, 0);
}

TEST_F(AheadLedgerTest, WhatAScanPassedWasUsed) {
    ask(1, 8);
    arrive(1, 8);
    ledger_.on_passed(PageNumber{1}, PageNumber{6});
    expect(8, 5, 0);
}

TEST_F(AheadLedgerTest, WhatLiesBehindAMarkerThatWasPassedOverIsWasted) {
    ask(1, 8);
    arrive(1, 8);
    mark(4);
    ledger_.on_passed(PageNumber{1}, PageNumber{8});
    expect(8, 3, 3);
    ledger_.on_fault(PageNumber{4});  // late, but of use
    expect(8, 4, 3);
}

TEST_F(AheadLedgerTest, WhatHadNotArrivedWasOvertaken) {
    ask(1, 4);
    arrive(1, 2);
    ledger_.on_passed(PageNumber{1}, PageNumber{5});
    expect(4, 2, 2);
}

}  // namespace
}  // namespace vsmp::coherence
