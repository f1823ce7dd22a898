#include "page_fault_broker/core/resident_set.hpp"

#include <algorithm>

namespace vsmp::coherence {
namespace {

// Work is done in slices of this part of the limit, and at most so many pages.
constexpr std::uint64_t kSlicesPerLimit = 64;
constexpr std::uint64_t kMaxSlice = 256;
// The second queue, for whose length pages have the time to show that they are used, in slices.
constexpr std::uint64_t kSampledSlices = 2;

}  // namespace

Use use_of(const PageTable& table, PageNumber page) {
    if (!table.has(page, PageFlag::framed)) return Use::none;
    const LocalPage local = table.local(page);
    if (local.request != Request::none || local.held) return Use::fixed;
    if (local.permission == Permission::none) return Use::stale;
    if (table.is_home(page)) return Use::fixed;
    if (local.releasing) return Use::leaving;
    return local.permission == Permission::shared && !local.source ? Use::copy : Use::owned;
}

ResidentSet::ResidentSet(PageTable& table, MemoryKeeper& keeper, std::uint64_t limit)
    : table_(table),
      keeper_(keeper),
      limit_(limit),
      home_pages_(table.homes().page_count_of(table.self())),
      slice_(std::clamp<std::uint64_t>(limit / kSlicesPerLimit, 1, kMaxSlice)) {
    VSMP_CHECK(limit == 0 || limit > home_pages_, "a memory limit that is less than the share");
}

// Pages homed here that are elsewhere may come back at any time.
std::uint64_t ResidentSet::kept_for_home() const {
    return std::min(slice_, home_pages_ - home_resident_);
}

std::uint64_t ResidentSet::needed(Purpose purpose) const {
    switch (purpose) {
        case Purpose::home:
            return 1;
        case Purpose::fetch:
            return kept_for_home() + 1;
        case Purpose::ahead:
            return kept_for_home() + slice_ / 4 + 1;
    }
    VSMP_CHECK(false, "purpose out of range");
}

bool ResidentSet::take(PageNumber page, Purpose purpose) {
    VSMP_CHECK(!table_.has(page, PageFlag::framed), "memory for a page that has some");
    if (limited() && free() < needed(purpose)) {
        if (purpose == Purpose::ahead) return false;
        work_ahead();
        if (free() < needed(purpose)) return false;
    }
    adopt(page);
    return true;
}

void ResidentSet::adopt(PageNumber page) {
    table_.set(page, PageFlag::framed, true);
    ++counters_.resident;
    if (table_.is_home(page)) ++home_resident_;
    VSMP_CHECK(!limited() || counters_.resident <= limit_, "more resident pages than allowed");
    counters_.resident_max = std::max(counters_.resident_max, counters_.resident);
}

void ResidentSet::on_obtained(PageNumber page) {
    if (!limited() || table_.is_home(page) || table_.has(page, PageFlag::queued)) return;
    table_.set(page, PageFlag::queued, true);
    active_queue(page).push_back(page);
}

std::deque<PageNumber>& ResidentSet::active_queue(PageNumber page) {
    const LocalPage local = table_.local(page);
    return local.permission == Permission::shared && !local.source ? active_copies_ : active_owned_;
}

void ResidentSet::on_lost(PageNumber page) {
    if (!limited() || table_.has(page, PageFlag::discardable)) return;
    table_.set(page, PageFlag::discardable, true);
    stale_.push_back(page);
}

void ResidentSet::on_offer_settled() {
    VSMP_CHECK(leaving_ > 0, "an offer settled twice");
    --leaving_;
}

void ResidentSet::work_ahead() {
    if (!limited() || free() >= high()) return;
    sample_ahead();  // so that pages have time to be touched before one has to leave
    if (free() >= low()) return;
    while (free() < high()) {
        if (discard_stale()) continue;
        sample_ahead();
        if (drop_copy()) continue;
        if (free() + leaving_ >= high() || !release_owned()) return;
    }
}

void ResidentSet::discard(PageNumber page) {
    keeper_.discard(page);
    table_.set(page, PageFlag::framed, false);
    --counters_.resident;
    if (table_.is_home(page)) --home_resident_;
    ++counters_.discarded;
}

bool ResidentSet::discard_stale() {
    while (!stale_.empty()) {
        const PageNumber page = stale_.front();
        stale_.pop_front();
        table_.set(page, PageFlag::discardable, false);
        if (use_of(table_, page) != Use::stale) continue;  // it came back meanwhile
        discard(page);
        return true;
    }
    return false;
}

bool ResidentSet::drop_copy() {
    while (!copies_.empty()) {
        const PageNumber page = copies_.front();
        copies_.pop_front();
        if (table_.has(page, PageFlag::mapped)) {
            ++counters_.spared;
            active_queue(page).push_back(page);
            continue;
        }
        if (use_of(table_, page) != Use::copy) {
            active_queue(page).push_back(page);
            continue;
        }
        table_.set(page, PageFlag::queued, false);
        keeper_.evict(page);
        VSMP_CHECK(use_of(table_, page) == Use::stale, "a copy that could not be dropped");
        ++counters_.dropped;
        return true;
    }
    return false;
}

bool ResidentSet::release_owned() {
    while (!owned_.empty()) {
        const PageNumber page = owned_.front();
        owned_.pop_front();
        active_queue(page).push_back(page);  // it stays until its home has taken it
        if (table_.has(page, PageFlag::mapped)) {
            ++counters_.spared;
            continue;
        }
        if (use_of(table_, page) != Use::owned) continue;
        keeper_.evict(page);
        ++leaving_;
        ++counters_.released;
        return true;
    }
    return false;
}

void ResidentSet::sample_ahead() {
    while (copies_.size() < kSampledSlices * slice_ && sample(active_copies_)) {
    }
    while (owned_.size() < kSampledSlices * slice_ && sample(active_owned_)) {
    }
}

// Moves one of the oldest pages that can go from `from` to the second queue of what it is now.
// False: there is none.
bool ResidentSet::sample(std::deque<PageNumber>& from) {
    for (std::size_t left = from.size(); left > 0; --left) {
        const PageNumber page = from.front();
        from.pop_front();
        const Use use = use_of(table_, page);
        switch (use) {
            case Use::none:
                table_.set(page, PageFlag::queued, false);
                continue;
            case Use::stale:
                table_.set(page, PageFlag::queued, false);
                on_lost(page);
                continue;
            case Use::fixed:
            case Use::leaving:
                from.push_back(page);
                continue;
            case Use::copy:
            case Use::owned:
                break;
        }
        if (table_.has(page, PageFlag::mapped)) keeper_.unmap(page);
        (use == Use::copy ? copies_ : owned_).push_back(page);
        ++counters_.sampled;
        return true;
    }
    return false;
}

}  // namespace vsmp::coherence
