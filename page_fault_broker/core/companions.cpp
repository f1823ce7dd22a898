#include "page_fault_broker/core/companions.hpp"

#include <algorithm>

namespace vsmp::coherence {
namespace {

constexpr int kSure = 2, kMostSure = 3;
constexpr int kWasted = -2;

}  // namespace

Companions::Companions(std::size_t most) : most_(std::min(most, kMaxCompanions)) {
    last_.fill(kNone);
    if (most_ == 0) return;
    entries_.resize(kEntries);
    wishes_.reserve(kMaxCompanions);
    because_of_.reserve(kMaxCompanions);
}

Companions::Entry* Companions::find(std::uint64_t page) {
    Entry& at = entries_[page % kEntries];
    return at.page == page ? &at : nullptr;
}

Companions::Entry& Companions::entry(std::uint64_t page) {
    Entry& at = entries_[page % kEntries];
    if (at.page != page) at = {.page = page};
    return at;
}

Access Companions::on_fault(Claimant claimant, PageNumber page, Access access) {
    if (most_ == 0) return access;
    Entry& wanted = entry(page.value());
    std::uint64_t& last = last_[claimant.value() % kClaimants];
    if (last != kNone && last != page.value()) join(last, page.value());
    last = page.value();
    wanted.last = access;
    if (access == Access::write) {
        if (wanted.only_read)
            wanted.upgrades = static_cast<std::int8_t>(std::min(wanted.upgrades + 1, kMostSure));
        wanted.only_read = false;
        return access;
    }
    if (wanted.upgrades >= kSure && ++wanted.reads % kSampleEvery != 0) return Access::write;
    wanted.only_read = true;
    return access;
}

// What is seen most stays: a newcomer has to outlast the weakest of those that are there.
void Companions::join(std::uint64_t before, std::uint64_t page) {
    Entry* const from = find(before);
    if (!from) return;
    for (Follower& follower : from->followers) {
        if (follower.score == 0 || follower.page != page) continue;
        follower.score = static_cast<std::int8_t>(std::min(follower.score + 1, kMostScore));
        return;
    }
    Follower& weakest = *std::ranges::min_element(from->followers, {}, &Follower::score);
    if (weakest.score > 0) --weakest.score;
    if (weakest.score == 0) weakest = {page, 1};
}

bool Companions::is_wished(std::uint64_t page) const {
    return page == first_ ||
           std::ranges::any_of(wishes_, [page](const Wish& w) { return w.page.value() == page; });
}

// What is joined to `page` and known itself.
void Companions::wish_joined_to(std::uint64_t page) {
    const Entry* const from = find(page);
    if (!from) return;
    for (const Follower& follower : from->followers) {
        if (wishes_.size() == most_) return;
        if (follower.score < kJoined || is_wished(follower.page)) continue;
        Entry* const wanted = find(follower.page);
        if (!wanted) continue;
        const bool writes = wanted->last == Access::write || wanted->upgrades >= kSure;
        wanted->only_read = !writes;
        wishes_.push_back(
            {PageNumber{follower.page}, writes ? Access::write : Access::read, Use::expected});
        because_of_.push_back(page);
    }
}

std::span<const Companions::Wish> Companions::joined_to(PageNumber page) {
    wishes_.clear();
    because_of_.clear();
    if (most_ == 0) return {};
    first_ = page.value();
    wish_joined_to(first_);
    for (std::size_t i = 0; i < wishes_.size(); ++i) wish_joined_to(wishes_[i].page.value());
    if (wishes_.empty()) return {};
    const std::size_t probe = turns_++ % wishes_.size();
    wishes_[probe].use = Use::probe;
    probes_[next_probe_++ % kProbes] = {wishes_[probe].page.value(), because_of_[probe]};
    return wishes_;
}

bool Companions::judge(std::uint64_t page, int change) {
    const auto probe = std::ranges::find(probes_, page, &Probe::page);
    if (probe == probes_.end()) return false;
    if (Entry* const from = find(probe->before))
        for (Follower& follower : from->followers)
            if (follower.score > 0 && follower.page == page)
                follower.score =
                    static_cast<std::int8_t>(std::clamp(follower.score + change, 0, kMostScore));
    *probe = {};
    return true;
}

void Companions::on_touched(PageNumber page) {
    if (most_ != 0 && judge(page.value(), +1)) ++counters_.used;
}

void Companions::on_wasted(PageNumber page) {
    if (most_ != 0 && judge(page.value(), kWasted)) ++counters_.wasted;
}

void Companions::on_lost(PageNumber page) {
    if (most_ == 0) return;
    Entry* const lost = find(page.value());
    if (!lost || !lost->only_read) return;
    lost->only_read = false;
    if (lost->upgrades > 0) --lost->upgrades;
}

}  // namespace vsmp::coherence
