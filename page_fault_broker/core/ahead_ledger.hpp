// What becomes of pages that read-ahead asked for: used, or in vain.
//
// A page is used when it is first touched while it is here or on its way, and wasted when it leaves
// untouched or is overtaken before it came. Only a page without a PTE (PageFlag::on_touch, a
// marker) tells of its touch, by a fault. Of the others the scan tells: between two faults of a
// sequential scan all was touched that could be touched without one. So what lies behind a marker
// that was passed over, or that left untouched, counts as wasted. What leaves after the marker
// before it was touched, and before the scan is known to have passed it, counts as nothing.
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
    // The page is not here any more; to be told before its PageFlag::on_touch changes.
    void on_lost(PageNumber page);

    // It was asked for, and will tell of its touch.
    bool is_marker(PageNumber page) const {
        return table_.has(page, PageFlag::ahead) && table_.has(page, PageFlag::on_touch);
    }
    const ReadAheadCounters& counters() const { return counters_; }

  private:
    bool is_behind_marker(PageNumber page) const;
    void settle(PageNumber page, std::uint64_t& as);

    PageTable& table_;
    ReadAheadCounters counters_;
};

}  // namespace vsmp::coherence
