#include "page_fault_broker/core/hold_table.hpp"

#include <algorithm>
#include <utility>

#include "proto/check.hpp"

namespace vsmp::coherence {
namespace {

// The splitmix64 generator (Steele, Lea, Flood 2014): the value after `state`, well mixed.
std::uint64_t mixed(std::uint64_t state) {
    state += 0x9e3779b97f4a7c15;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
    state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
    return state ^ (state >> 31);
}

}  // namespace

HoldLimits hold_limits(NodeId node, std::size_t node_count, Duration hold, Duration round_trip) {
    VSMP_CHECK(node.value() < node_count && node_count <= kMaxNodes, "no such node");
    VSMP_CHECK(hold > Duration::zero(), "a hold takes time");
    return {.hold = hold,
            .patience = std::max(hold, round_trip) * kPatience,
            .spread = kSpreadPerNode * static_cast<std::uint32_t>(node_count),
            .seed = node.value(),
            .longest = kLongestMeasuredHold};
}

HoldTable::HoldTable(HoldLimits limits) : limits_(limits) {
    VSMP_CHECK(limits.spread >= 1, "a spread of less than one");
}

Duration HoldTable::hold() const {
    return std::max(limits_.hold, std::min(kHoldPerHandOver * std::max(hand_over(), most_told_),
                                           limits_.longest));
}

void HoldTable::on_told(NodeId by, Duration hand_over) {
    Duration& told = told_[by.value()];
    if (told == hand_over) return;
    told = hand_over;
    most_told_ = std::ranges::max(told_);
}

// patience * spread / (1 + u * (spread - 1)) for a u drawn evenly from 0 to 1.
Duration HoldTable::draw_patience() {
    constexpr int kBits = 16;
    const std::uint64_t u = mixed(mixed(limits_.seed) + draws_++) >> (64 - kBits);
    const std::uint64_t one = std::uint64_t{1} << kBits;
    const Duration least =
        hold() > limits_.hold ? std::max(limits_.patience, kPatience * hold()) : limits_.patience;
    const auto divisor = static_cast<Duration::rep>(one + u * (limits_.spread - 1));
    return least * limits_.spread * static_cast<Duration::rep>(one) / divisor;
}

HoldTable::Burst& HoldTable::burst_of(Claimant claimant) {
    const auto found = std::ranges::find(bursts_, claimant, &Burst::claimant);
    if (found != bursts_.end()) return *found;
    Burst& burst = bursts_.emplace_back();
    burst.claimant = claimant;
    burst.patience = draw_patience();
    return burst;
}

std::optional<Instant> HoldTable::deadline(const Burst& burst) const {
    if (burst.pages.empty()) return std::nullopt;
    if (!burst.waits_for) return burst.due;
    return std::max(burst.waits_since, burst.last_granted) + burst.patience;
}

// Else its hold goes on.
bool HoldTable::had_its_turn(Burst& burst, Instant now) {
    const auto had_now = clock_ ? clock_->had(burst.claimant) : std::nullopt;
    if (!had_now || !burst.had_before) return true;
    const Duration had = *had_now - *burst.had_before;
    const Instant latest = burst.last_granted + kLatestHolds * hold();
    // A wake-up always takes a moment; for that alone it is not worth another look.
    if (had >= burst.turn * 3 / 4 || now >= latest) return true;
    burst.due = std::min(now + burst.turn - had, latest);
    return false;
}

bool HoldTable::held(PageNumber page) const {
    return std::ranges::any_of(bursts_, [page](const Burst& burst) {
        return std::ranges::find(burst.pages, page) != burst.pages.end();
    });
}

void HoldTable::let_go(PageNumber page, Instant now) {
    if (let_go_.empty()) let_go_at_ = now;
    let_go_.push_back(page);
}

void HoldTable::on_fault(Claimant claimant, PageNumber page, Instant now) {
    Burst& burst = burst_of(claimant);
    if (burst.waits_for != page) burst.waits_since = now;
    burst.waits_for = page;
    if (std::erase(burst.pages, page) > 0) let_go(page, now);
}

void HoldTable::on_granted(Claimant claimant, PageNumber page, Instant now) {
    Burst& burst = burst_of(claimant);
    if (burst.waits_for == page) burst.waits_for.reset();
    burst.last_granted = now;
    burst.turn = begin_turn(claimant, page);
    burst.due = now + burst.turn;
    burst.had_before = clock_ ? clock_->had(claimant) : std::nullopt;
    std::erase(burst.pages, page);
    if (burst.pages.size() == kMaxBurstPages) {
        let_go(burst.pages.front(), now);
        burst.pages.erase(burst.pages.begin());
    }
    burst.pages.push_back(page);
}

// How long it shall be.
Duration HoldTable::begin_turn(Claimant claimant, PageNumber page) {
    const auto had = clock_ ? clock_->had(claimant) : std::nullopt;
    if (!had) return hold();
    auto turn = std::ranges::find(turns_, claimant, &Turn::claimant);
    if (turn == turns_.end()) turn = turns_.emplace(turn);
    const Duration too_much =
        turn->claimant == claimant && turn->page == page ? turn->too_much : Duration::zero();
    *turn = {.claimant = claimant, .page = page, .had_before = had, .too_much = too_much};
    return std::clamp(hold() - turn->too_much, hold() / 4, hold() * 2);
}

void HoldTable::on_lost(PageNumber page) {
    for (Turn& turn : turns_) {
        if (turn.page != page || !turn.had_before) continue;
        const auto had = clock_->had(turn.claimant);
        if (had)
            turn.too_much = std::clamp(turn.too_much + *had - *turn.had_before - hold(), -hold(),
                                       kLatestHolds * hold());
        turn.had_before.reset();
    }
}

void HoldTable::on_abandoned(Claimant claimant, Instant now) {
    std::erase_if(turns_, [&](const Turn& turn) { return turn.claimant == claimant; });
    const auto found = std::ranges::find(bursts_, claimant, &Burst::claimant);
    if (found == bursts_.end()) return;
    for (PageNumber page : found->pages) let_go(page, now);
    bursts_.erase(found);
}

std::optional<Instant> HoldTable::next_deadline() const {
    std::optional<Instant> earliest;
    if (!let_go_.empty()) earliest = let_go_at_;
    for (const Burst& burst : bursts_) {
        const auto due = deadline(burst);
        if (due && (!earliest || *due < *earliest)) earliest = due;
    }
    return earliest;
}

void HoldTable::expired(Instant now, std::vector<PageNumber>& pages) {
    for (Burst& burst : bursts_) {
        const auto due = deadline(burst);
        if (!due || *due > now) continue;
        if (!burst.waits_for) {
            if (!had_its_turn(burst, now)) continue;
            late_.add(now - *due);
        }
        for (PageNumber page : burst.pages) let_go(page, now);
        burst.pages.clear();
        burst.patience = draw_patience();
    }
    std::erase_if(bursts_, [](const Burst& b) { return b.pages.empty() && !b.waits_for; });
    std::ranges::sort(let_go_);
    let_go_.erase(std::ranges::unique(let_go_).begin(), let_go_.end());
    // A page that another burst holds, or that came back meanwhile, stays until that is over.
    for (PageNumber page : let_go_)
        if (!held(page)) pages.push_back(page);
    let_go_.clear();
}

}  // namespace vsmp::coherence
