// What becomes of pages that read-ahead asked for: used, or in vain.
//
// A page is used when it is first touched while it is here or on its way, and wasted when it leaves
// or is overtaken untouched. Only a page without a PTE tells of its touch, by a fault. Of the
// others the scan tells: between two faults of a sequential scan all was touched that could be
// touched without one. So what lies behind a marker that was passed over (PageFlag::on_touch is
// still set) counts as wasted, and so does what had not arrived. A page that was asked for and of
// which neither is known yet counts as nothing.
//
// Pure, owned by the data-plane thread.
#pragma once

#include "page_fault_broker/core/page_table.hpp"

namespace vsmp::coherence {

struct ReadAheadCounters {
    std::uint64_t asked = 0;  // pages
    std::uint64_t used = 0, wasted = 0;
};

class AheadLedger {
  public:
    // The table, which keeps PageFlag::ahead, outlives the ledger.
    explicit AheadLedger(PageTable& table) : table_(table) {}

    void on_asked(PageNumber page);
    // Somebody here touched the page.
    void on_fault(PageNumber page);
    // A scan went on from a fault at the page before `first` to one at `end`. To be told before
    // flags of the page at `end` change.
    void on_passed(PageNumber first, PageNumber end);
    // The page is not here any more.
    void on_lost(PageNumber page);

    const ReadAheadCounters& counters() const { return counters_; }

  private:
    void settle(PageNumber page, std::uint64_t& as);

    PageTable& table_;
    ReadAheadCounters counters_;
};

}  // namespace vsmp::coherence
