#include "page_fault_broker/core/ahead_ledger.hpp"

#include <algorithm>

#include "page_fault_broker/core/read_ahead.hpp"

namespace vsmp::coherence {

void AheadLedger::settle(PageNumber page, std::uint64_t& as) {
    if (!table_.has(page, PageFlag::ahead)) return;
    table_.set(page, PageFlag::ahead, false);
    ++as;
}

void AheadLedger::on_asked(PageNumber page) {
    table_.set(page, PageFlag::ahead, true);
    ++counters_.asked;
}

void AheadLedger::on_fault(PageNumber page) {
    settle(page, counters_.used);
}

void AheadLedger::on_passed(PageNumber first, PageNumber end) {
    bool passed_over = false;
    for (std::uint64_t number = first.value(); number < end.value(); ++number) {
        const PageNumber page{number};
        // Itself it will still be touched, or lost.
        if (table_.has(page, PageFlag::on_touch)) {
            passed_over = true;
            continue;
        }
        const bool missing = table_.permission(page) == Permission::none;
        settle(page, passed_over || missing ? counters_.wasted : counters_.used);
    }
}

// What comes before an untouched marker may have been touched or not, and counts as nothing.
void AheadLedger::on_lost(PageNumber page) {
    if (!table_.has(page, PageFlag::ahead)) return;
    if (!is_behind_marker(page)) return table_.set(page, PageFlag::ahead, false);
    const bool marker = is_marker(page);
    settle(page, counters_.wasted);
    if (!marker) return;
    const std::uint64_t end =
        std::min(page.value() + ReadAhead::kMarkerEvery, table_.homes().page_count());
    for (std::uint64_t next = page.value() + 1; next < end; ++next) {
        if (table_.has(PageNumber{next}, PageFlag::on_touch)) return;
        settle(PageNumber{next}, counters_.wasted);
    }
}

// Or one itself.
bool AheadLedger::is_behind_marker(PageNumber page) const {
    const std::uint64_t first = page.value() - std::min(page.value(), ReadAhead::kMarkerEvery - 1);
    for (std::uint64_t number = first; number <= page.value(); ++number)
        if (is_marker(PageNumber{number})) return true;
    return false;
}

}  // namespace vsmp::coherence
