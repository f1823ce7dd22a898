#include "page_fault_broker/core/resident_set.hpp"

#include <algorithm>

namespace vsmp::coherence {
namespace {

// Work is done in slices of this part of the limit, and at most so many pages.
constexpr std::uint64_t kSlicesPerLimit = 64;
constexpr std::uint64_t kMaxSlice = 256;
// The second queue, for whose length pages have the time to show that they are used, in slices.
constexpr std::uint64_t kSampledSlices = 2;
// When pages left is noted in this part of the limit.
constexpr std::uint64_t kNotesPerLimit = 64;
// A page that comes back before so many limits of pages have left is of a scan that comes back.
constexpr std::uint64_t kLimitsOfScan = 2;
// Pages that no scan has come to yet are waited for if they are less than this part of the limit.
constexpr std::uint64_t kPassingPerLimit = 4;
// So many of them are looked at, at a time, to find one that a scan is past.
constexpr std::uint64_t kMostAwaited = 4;
// Older pages than a scan's are not sampled while more than this part of a slice is.
constexpr std::uint64_t kFewPerSlice = 4;
// Of so many runs that a scan is past, each a slice, one stays in place of older pages.
constexpr std::uint64_t kScanStays = 32;
// Pages whose use tells whether what is kept is of use.
constexpr std::uint64_t kTried = 32;
constexpr std::uint64_t kLongestPause = 16;  // limits

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
      slice_(std::clamp<std::uint64_t>(limit / kSlicesPerLimit, 1, kMaxSlice)),
      departures_per_note_(std::max<std::uint64_t>(limit / kNotesPerLimit, 1)),
      next_pause_(limit) {
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
    table_.set(page, PageFlag::returning, limited() && is_returning(page));
    adopt(page);
    return true;
}

bool ResidentSet::is_returning(PageNumber page) const {
    const std::uint32_t note = table_.note(page);
    if (note == 0) return false;
    const std::uint64_t since =
        (departures() + PageTable::kMaxNote - (note - 1)) % PageTable::kMaxNote;
    return since <= kLimitsOfScan * kNotesPerLimit;
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
    // One that was touched on its way is not read-ahead's any more.
    const bool passing = table_.has(page, PageFlag::returning) &&
                         table_.has(page, PageFlag::ahead) && counters_.discarded >= paused_until_;
    counters_.passing += passing ? 1 : 0;
    Queues& queues = queues_of(page);
    (passing ? queues.passing : queues.active).push_back(page);
}

ResidentSet::Queues& ResidentSet::queues_of(PageNumber page) {
    const LocalPage local = table_.local(page);
    return local.permission == Permission::shared && !local.source ? new_copies_ : new_owned_;
}

void ResidentSet::on_lost(PageNumber page) {
    if (!limited() || table_.has(page, PageFlag::discardable)) return;
    table_.set(page, PageFlag::discardable, true);
    stale_.push_back(page);
}

void ResidentSet::on_offer_settled(PageNumber page) {
    VSMP_CHECK(leaving_ > 0, "an offer settled twice");
    --leaving_;
    if (table_.permission(page) == Permission::none || table_.has(page, PageFlag::queued)) return;
    table_.set(page, PageFlag::queued, true);
    queues_of(page).active.push_back(page);
}

void ResidentSet::work_ahead() {
    if (!limited() || free() >= high()) return;
    try_what_is_kept();
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
    table_.set_note(page, static_cast<std::uint32_t>(1 + departures() % PageTable::kMaxNote));
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
            queues_of(page).active.push_back(page);
            continue;
        }
        if (use_of(table_, page) != Use::copy) {
            queues_of(page).active.push_back(page);
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
        if (table_.has(page, PageFlag::mapped)) {
            ++counters_.spared;
            queues_of(page).active.push_back(page);
            continue;
        }
        if (use_of(table_, page) != Use::owned) {
            queues_of(page).active.push_back(page);
            continue;
        }
        table_.set(page, PageFlag::queued, false);  // until its home has taken it, or has not
        keeper_.evict(page);
        ++leaving_;
        ++counters_.released;
        return true;
    }
    return false;
}

void ResidentSet::sample_ahead() {
    while (copies_.size() < kSampledSlices * slice_ && sample_one(new_copies_, copies_.size())) {
    }
    while (owned_.size() < kSampledSlices * slice_ && sample_one(new_owned_, owned_.size())) {
    }
}

void ResidentSet::try_what_is_kept() {
    if (tried_.empty()) {
        if (!new_copies_.passing.empty() || !new_owned_.passing.empty()) begin_trial();
        return;
    }
    if (counters_.discarded < trial_end_) return;
    std::uint64_t here = 0, used = 0;
    for (const PageNumber page : tried_) {
        if (table_.permission(page) == Permission::none) continue;
        ++here;
        if (table_.has(page, PageFlag::mapped)) ++used;
    }
    tried_.clear();
    if (4 * used >= 3 * here) {
        next_pause_ = limit_;
        return;
    }
    paused_until_ = counters_.discarded + next_pause_;
    next_pause_ = std::min(2 * next_pause_, kLongestPause * limit_);
}

void ResidentSet::begin_trial() {
    const auto& copies = new_copies_.active;
    const auto& owned = new_owned_.active;
    const std::uint64_t all = copies.size() + owned.size();
    for (std::uint64_t i = 0; i < kTried && all >= kTried; ++i) {
        const std::uint64_t at = i * all / kTried;
        const PageNumber page = at < copies.size() ? copies[at] : owned[at - copies.size()];
        const Use use = use_of(table_, page);
        if ((use != Use::copy && use != Use::owned) || !table_.has(page, PageFlag::mapped))
            continue;
        keeper_.unmap(page);
        tried_.push_back(page);
    }
    trial_end_ = counters_.discarded + kLimitsOfScan * limit_;
}

// False: there is none that can go, or none that should while `sampled` are there already.
bool ResidentSet::sample_one(Queues& from, std::uint64_t sampled) {
    if (sample_passing(from)) return true;
    // A scan that is about to be past more is waited for as long as it can be.
    if (!from.passing.empty() && sampled > slice_ / kFewPerSlice) return false;
    for (std::size_t left = from.active.size(); left > 0; --left) {
        const PageNumber page = from.active.front();
        from.active.pop_front();
        if (sample(page, from)) return true;
    }
    // Nothing else is left.
    while (!from.passing.empty()) {
        const PageNumber page = from.passing.front();
        from.passing.pop_front();
        if (sample(page, from)) return true;
    }
    return false;
}

// False: no scan is past any.
bool ResidentSet::sample_passing(Queues& from) {
    for (std::uint64_t awaited_ones = 0; !from.passing.empty();) {
        const PageNumber page = from.passing.front();
        from.passing.pop_front();
        const bool awaited = table_.has(page, PageFlag::ahead);
        if (awaited && from.passing.size() < limit_ / kPassingPerLimit) {
            // A scan that ended before it must not keep those of others.
            from.passing.push_back(page);
            if (++awaited_ones == kMostAwaited) return false;
            continue;
        }
        if (awaited || passed_++ / slice_ % kScanStays == 0)
            from.active.push_back(page);
        else if (sample(page, from))
            return true;
    }
    return false;
}

// Moves a page that was taken out of its queue to the second queue of what it is now, if it can go.
bool ResidentSet::sample(PageNumber page, Queues& from) {
    const Use use = use_of(table_, page);
    switch (use) {
        case Use::none:
            table_.set(page, PageFlag::queued, false);
            return false;
        case Use::stale:
            table_.set(page, PageFlag::queued, false);
            on_lost(page);
            return false;
        case Use::fixed:
        case Use::leaving:
            from.active.push_back(page);
            return false;
        case Use::copy:
        case Use::owned:
            break;
    }
    if (table_.has(page, PageFlag::mapped)) keeper_.unmap(page);
    (use == Use::copy ? copies_ : owned_).push_back(page);
    ++counters_.sampled;
    return true;
}

}  // namespace vsmp::coherence
