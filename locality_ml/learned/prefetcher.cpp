#include "locality_ml/learned/prefetcher.hpp"

#include <algorithm>
#include <cstdlib>

namespace vsmp::locality {
namespace {

constexpr std::int64_t kMaxStep = 64;
constexpr std::uint32_t kSureAfter = 2;  // equal steps
constexpr std::size_t kMaxInFlight = 64;
constexpr std::size_t kTrial = 4;    // pages that an unproven source may ask for
constexpr std::size_t kRetrial = 1;  // the same after it was silenced
constexpr float kProof = 16;         // fates after which it is proven, or silenced
constexpr std::size_t kMaxChain = 4;
constexpr Duration kQuiet = std::chrono::milliseconds(50);
constexpr std::uint32_t kMaxQuietDoublings = 8;

}  // namespace

void Companions::follows(PageNumber page, PageNumber next) {
    Slot& slot = slots_[index(page)];
    if (slot.page == page.value() && slot.next == next.value()) {
        slot.confidence = static_cast<std::uint8_t>(std::min(slot.confidence + 1, 3));
    } else if (slot.page == page.value() && slot.confidence > 0) {
        --slot.confidence;
    } else {
        slot = {page.value(), next.value(), 0};
    }
}

std::optional<PageNumber> Companions::after(PageNumber page) const {
    const Slot& slot = slots_[index(page)];
    if (slot.page != page.value() || slot.confidence == 0) return std::nullopt;
    return PageNumber{slot.next};
}

std::size_t Trust::allowance(Instant now) const {
    if (now < quiet_until_ || in_flight_ >= kMaxInFlight) return 0;
    if (recent_used_ + recent_wasted_ < kProof) {
        const std::size_t trial = quiet_times_ == 0 ? kTrial : kRetrial;
        return in_flight_ < trial ? trial - in_flight_ : 0;
    }
    return std::min(kMaxPrefetch, kMaxInFlight - in_flight_);
}

void Trust::on_fate(PrefetchFate fate, Instant now) {
    if (in_flight_ > 0) --in_flight_;
    switch (fate) {
        case PrefetchFate::missed:
            return;
        case PrefetchFate::used:
            ++used_;
            ++recent_used_;
            break;
        case PrefetchFate::wasted:
            ++wasted_;
            ++recent_wasted_;
            break;
    }
    const float recent = recent_used_ + recent_wasted_;
    // An unproven source is stopped by its first failures.
    const float allowed = std::max(kMaxWaste * recent * 0.75F, quiet_times_ == 0 ? 1.5F : 0.5F);
    if (recent_wasted_ > allowed) {
        quiet_until_ = now + kQuiet * (1 << quiet_times_);
        quiet_times_ = std::min(quiet_times_ + 1, kMaxQuietDoublings);
        recent_used_ = recent_wasted_ = 0;
    } else if (recent > 128) {
        recent_used_ /= 2;
        recent_wasted_ /= 2;
        quiet_times_ = 0;
    }
}

void Prefetcher::on_fault(PageNumber page, NodeId, std::uint64_t page_count, Instant now,
                          Companions& companions, PageList& out) {
    ++faults_;
    if (previous_ != ~0ULL) companions.follows(PageNumber{previous_}, page);
    previous_ = page.value();
    const auto number = static_cast<std::int64_t>(page.value());
    Stream& stream = stream_of(number);
    const std::int64_t step = number - stream.last;
    // At the end of what was asked for, or within it, where a page did not come.
    const bool on = stream.last >= 0 && stream.step != 0 && step % stream.step == 0 &&
                    step / stream.step > 0 &&
                    step / stream.step <= (stream.expected - stream.last) / stream.step;
    if (on) {
        ++stream.length;
    } else {
        stream.step = stream.last >= 0 && std::abs(step) <= kMaxStep ? step : 0;
        stream.length = stream.step != 0 ? 1 : 0;
    }
    stream.last = number;
    stream.age = 0;
    stream.expected = number + stream.step;
    const bool goes_on = stream.length >= kSureAfter;
    sequential_ += ((goes_on ? 1.0F : 0.0F) - sequential_) / 16;
    if (goes_on) {
        ask(stream, page_count, now, out);
        return;
    }
    PageNumber from = page;
    for (std::size_t i = companion_trust_.allowance(now); i > 0 && out.size() < kMaxChain; --i) {
        const auto next = companions.after(from);
        if (!next || *next == page) break;
        out.add(*next);
        remember(*next, false);
        companion_trust_.asked(1);
        from = *next;
    }
}

// The stream that the page continues: at its next step, else the nearest, else the oldest anew.
Prefetcher::Stream& Prefetcher::stream_of(std::int64_t page) {
    Stream* nearest = nullptr;
    Stream* oldest = &streams_[0];
    for (Stream& stream : streams_) {
        ++stream.age;
        if (stream.last >= 0 && stream.expected == page && stream.step != 0) return stream;
        const std::int64_t distance = std::abs(page - stream.last);
        if (stream.last >= 0 && distance <= kMaxStep &&
            (!nearest || distance < std::abs(page - nearest->last)))
            nearest = &stream;
        if (stream.age > oldest->age) oldest = &stream;
    }
    if (nearest) return *nearest;
    *oldest = {};
    return *oldest;
}

void Prefetcher::ask(Stream& stream, std::uint64_t page_count, Instant now, PageList& out) {
    // One page for each step seen: a stream that has just begun may end at once.
    const std::size_t depth =
        std::min<std::size_t>({stream.length, stream_trust_.allowance(now), kMaxPrefetch});
    std::int64_t page = stream.last;
    for (std::size_t i = 0; i < depth; ++i) {
        page += stream.step;
        if (page < 0 || page >= static_cast<std::int64_t>(page_count)) break;
        const PageNumber asked{static_cast<std::uint64_t>(page)};
        out.add(asked);
        remember(asked, true);
        stream_trust_.asked(1);
        stream.expected = page + stream.step;
    }
}

void Prefetcher::remember(PageNumber page, bool stream) {
    asked_[page.value() % asked_.size()] = {page.value(), stream};
}

void Prefetcher::on_fate(PageNumber page, PrefetchFate fate, Instant now) {
    Asked& asked = asked_[page.value() % asked_.size()];
    const bool stream = asked.page == page.value() ? asked.stream : true;
    asked = {};
    (stream ? stream_trust_ : companion_trust_).on_fate(fate, now);
}

void Prefetcher::reset() {
    streams_ = {};
    previous_ = ~0ULL;
    sequential_ = 0;
}

float Prefetcher::accuracy() const {
    const auto all = used() + wasted();
    return all == 0 ? 1 : static_cast<float>(used()) / static_cast<float>(all);
}

float Prefetcher::coverage() const {
    const auto needs = used() + faults_;
    return needs == 0 ? 0 : static_cast<float>(used()) / static_cast<float>(needs);
}

}  // namespace vsmp::locality
