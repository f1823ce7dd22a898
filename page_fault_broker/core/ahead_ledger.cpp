#include "page_fault_broker/core/ahead_ledger.hpp"

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
        passed_over |= table_.has(page, PageFlag::on_touch);
        const bool missing = table_.permission(page) == Permission::none;
        settle(page, passed_over || missing ? counters_.wasted : counters_.used);
    }
}

void AheadLedger::on_lost(PageNumber page) {
    settle(page, counters_.wasted);
}

}  // namespace vsmp::coherence
