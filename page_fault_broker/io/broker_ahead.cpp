// The part of the broker that asks for pages before they are needed: as streams go on (read-ahead),
// as they were needed together before (companions), and as a policy says (prefetch).
#include <algorithm>

#include "page_fault_broker/io/broker.hpp"

namespace vsmp {

using coherence::LocalEventKind;
using coherence::PageFlag;

void Broker::set_read_ahead(std::uint64_t pages) {
    read_ahead_ = coherence::ReadAhead{std::min(pages, coherence::kMaxReadAhead)};
}

void Broker::set_companions(std::size_t pages) {
    companions_ = coherence::Companions{pages};
}

// They are held as if `claimant` had faulted on each: that is what it would do next.
void Broker::ask_for_companions(PageNumber of, coherence::Claimant claimant) {
    for (const coherence::Companions::Wish& wish : companions_.joined_to(of)) {
        if (fabric_ && fabric_->congested()) return;
        // What is here to read and would be wanted to write stays: it may never be written.
        if (permits(wish.page, Access::read)) continue;
        const bool probe = wish.use == coherence::Companions::Use::probe;
        const Prefetched what =
            prefetch_one(wish.page, wish.access, probe ? MapAhead::on_touch : MapAhead::at_once);
        if (what == Prefetched::not_possible) return;
        if (what == Prefetched::here_already) continue;
        companions_.on_asked(1);
        waiting_.push_back({wish.page, claimant, std::nullopt});
    }
}

// A page that is here to read is asked for to write only by a scan and only right behind the fault:
// it cannot be a marker, so nothing else tells a scan that writes from writes all over the same
// pages, each of which would take many pages away from their readers.
void Broker::ask_ahead(const coherence::ReadAhead::Request& request, PageNumber after) {
    const bool upgrades = !request.is_on_trial() && request.first.value() == after.value() + 1;
    const std::uint64_t pages = table_.homes().page_count();
    coherence::ReadAhead::Followed followed{.end = request.first};
    std::uint64_t counted = 0, passed_over = 0;
    while (counted < request.count && !(fabric_ && fabric_->congested())) {
        const PageNumber page = followed.end;
        const bool exists = page.value() < pages;
        const bool here = exists && permits(page, request.access);
        if (here && passed_over < request.most_here) {
            ++passed_over;
            if (coherence::ReadAhead::is_milestone(page)) hear_of(page);
        } else {
            const auto map = request.is_marker(page) ? MapAhead::on_touch : MapAhead::at_once;
            const bool stays = here || (!upgrades && exists && permits(page, Access::read));
            const Prefetched what =
                stays ? Prefetched::here_already : prefetch_one(page, request.access, map);
            if (what == Prefetched::not_possible) break;
            if (what == Prefetched::asked) {
                ahead_ledger_.on_asked(page);
                ++followed.asked;
            }
            ++counted;
        }
        followed.end = PageNumber{page.value() + 1};
    }
    read_ahead_.on_asked(followed);
}

std::uint64_t Broker::still_ahead(PageNumber first, PageNumber end) const {
    std::uint64_t count = 0;
    for (std::uint64_t page = first.value(); page < end.value(); ++page)
        count += table_.has(PageNumber{page}, PageFlag::ahead) ? 1 : 0;
    return count;
}

bool Broker::has_marker(PageNumber first, PageNumber end) const {
    for (std::uint64_t page = first.value(); page < end.value(); ++page)
        if (ahead_ledger_.is_marker(PageNumber{page})) return true;
    return false;
}

// Its next touch is a fault, by which the stream goes on.
void Broker::hear_of(PageNumber page) {
    if (!resident_.limited() || !table_.has(page, PageFlag::mapped)) return;
    const coherence::Use use = coherence::use_of(table_, page);
    if (use == coherence::Use::copy || use == coherence::Use::owned) unmap(page);
}

std::vector<PageNumber> Broker::prefetch(std::span<const PageNumber> pages, Access access,
                                         MapAhead map, Instant now) {
    std::vector<PageNumber> asked;
    if (fabric_ && fabric_->congested()) return asked;
    now_ = now;
    for (PageNumber page : pages.first(std::min(pages.size(), kMaxPrefetch))) {
        if (page.value() >= table_.homes().page_count()) continue;
        if (permits(page, Access::read)) continue;  // as with companions
        const Prefetched what = prefetch_one(page, access, map);
        if (what == Prefetched::not_possible) break;
        if (what == Prefetched::asked) asked.push_back(page);
    }
    counters_.prefetches += asked.size();
    settle();
    return asked;
}

Broker::Prefetched Broker::prefetch_one(PageNumber page, Access access, MapAhead map) {
    if (page.value() >= table_.homes().page_count()) return Prefetched::not_possible;
    if (permits(page, access) || table_.local(page).request != coherence::Request::none)
        return Prefetched::here_already;
    if (!table_.has(page, PageFlag::framed) && !take(page, coherence::Purpose::ahead))
        return Prefetched::not_possible;
    table_.set(page, PageFlag::on_touch,
               map == MapAhead::on_touch && !table_.has(page, PageFlag::mapped));
    run_local(page, {LocalEventKind::fault, access, {}});
    return Prefetched::asked;
}

}  // namespace vsmp
