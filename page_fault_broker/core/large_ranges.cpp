#include "page_fault_broker/core/large_ranges.hpp"

#include "proto/check.hpp"

namespace vsmp::coherence {

LargeArea large_area(PageNumber first, std::uint64_t count) {
    const std::uint64_t begin =
        (first.value() + kPagesPerRange - 1) / kPagesPerRange * kPagesPerRange;
    const std::uint64_t end = (first.value() + count) / kPagesPerRange * kPagesPerRange;
    return {PageNumber{begin}, begin < end ? end - begin : 0};
}

LargeRanges::LargeRanges(LargeArea area, std::uint64_t most_borders)
    : area_(area), most_borders_(most_borders), ranges_(area.count / kPagesPerRange) {}

void LargeRanges::on_mapped(PageNumber page) {
    if (!contains(page)) return;
    Range& range = ranges_[index_of(page)];
    if (range.state != State::small || range.queued) return;
    if (++range.mapped < kPagesPerRange) return;
    range.queued = true;
    candidates_.push_back(index_of(page));
}

std::optional<Instant> LargeRanges::next_look() const {
    return candidates_.empty() ? std::nullopt : std::optional{next_};
}

void LargeRanges::done(Instant now) {
    ranges_[candidates_.front()].queued = false;
    candidates_.pop_front();
    next_ = now + kBetween;
}

void LargeRanges::collapsed(Instant now) {
    ranges_[candidates_.front()].state = State::large;
    ++counters_.collapsed;
    done(now);
}

void LargeRanges::incomplete(std::uint64_t mapped, Instant now) {
    VSMP_CHECK(mapped < kPagesPerRange, "a complete range");
    ranges_[candidates_.front()].mapped = static_cast<std::uint16_t>(mapped);
    done(now);
}

void LargeRanges::failed(Instant now) {
    const std::size_t index = candidates_.front();
    done(now);
    Range& range = ranges_[index];
    if (++range.refused < kMostTries) {
        range.queued = true;
        candidates_.push_back(index);
        return;
    }
    range.state = State::given_up;
    ++counters_.failed;
}

std::optional<LargeRanges::Split> LargeRanges::before_sharing(PageNumber page) {
    if (!contains(page) || is_split(index_of(page))) return std::nullopt;
    const std::size_t range = index_of(page);
    for (const std::size_t neighbour : {range - 1, range + 1})  // wraps before the first: beyond
        borders_ = is_split(neighbour) ? borders_ - 1 : borders_ + 1;
    return borders_ > most_borders_ ? split_all() : split_one(range);
}

LargeRanges::Split LargeRanges::split_one(std::size_t range) {
    Split split{.area = {first_page(range), kPagesPerRange}, .large = {}};
    if (ranges_[range].state == State::large) {
        split.large.push_back(first_page(range));
        ++counters_.split_large;
    }
    if (ranges_[range].queued) std::erase(candidates_, range);
    ranges_[range] = {.state = State::split};
    ++counters_.split;
    return split;
}

LargeRanges::Split LargeRanges::split_all() {
    Split all{.area = area_, .large = {}};
    for (std::size_t range = 0; range < ranges_.size(); ++range) {
        if (is_split(range)) continue;
        const Split one = split_one(range);
        all.large.insert(all.large.end(), one.large.begin(), one.large.end());
    }
    borders_ = 0;
    return all;
}

}  // namespace vsmp::coherence
