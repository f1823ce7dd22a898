#include "page_fault_broker/core/read_ahead.hpp"

#include <algorithm>

#include "proto/check.hpp"

namespace vsmp::coherence {

ReadAhead::Advice ReadAhead::on_fault(PageNumber page, Access access, StillAhead still_ahead,
                                      HasMarker has_marker) {
    Advice advice{.passed_from = page, .passed_to = page, .request = {}};
    if (most_ == 0) return advice;
    ++time_;
    Stream* stream = explaining(page, still_ahead, has_marker);
    if (!stream) stream = begin(page.value(), access);
    if (!stream) return advice;
    stream->last_fault = time_;
    // Who reads and then writes is given what it will need from the next request on.
    if (access == Access::write) stream->access = Access::write;
    if (page.value() >= stream->passed) {
        advice.passed_from = PageNumber{stream->passed};
        stream->passed = page.value() + 1;
    }
    if (page.value() < stream->used) return advice;
    follow(*stream, page.value());
    const std::uint64_t wanted = std::min(stream->ahead, most_);
    const PageNumber next{std::min(page.value() + 1, stream->end)}, end{stream->end};
    const std::uint64_t asked = still_ahead(next, end), looked = end.value() - next.value();
    if (wanted <= asked || looked >= kFarthest * most_) return advice;
    asking_ = stream;
    const std::uint64_t count = wanted - asked;
    advice.request = {PageNumber{stream->end}, count, 0, stream->access, stream->marker_every};
    if (stream->fetches)
        advice.request->most_here = kMostHere * (advice.request->is_on_trial() ? count : wanted);
    return advice;
}

// The stream that goes on with this fault. It trusts in what was asked for and in neighbours; who
// leaves out what would have told of its touch, or goes elsewhere, is perhaps no scan.
ReadAhead::Stream* ReadAhead::explaining(PageNumber page, StillAhead still_ahead,
                                         HasMarker has_marker) {
    for (Stream& stream : streams_) {
        if (!stream.explains(page.value())) continue;
        if (page.value() < stream.passed) return &stream;
        const PageNumber passed{stream.passed}, behind{page.value() + 1};
        if (has_marker(passed, page))
            stream.trust -= kDoubt;
        else if (page == passed || still_ahead(page, behind) > 0)
            stream.trust = std::min(stream.trust + 1, kMostTrust);
        else if (page.value() != stream.end && !is_milestone(page))
            --stream.trust;
        if (stream.trust >= 0) return &stream;
        stream = {};
    }
    return nullptr;
}

void ReadAhead::follow(Stream& stream, std::uint64_t page) {
    if (page == stream.end) {  // nothing was asked for, or less than wanted
        stream.used = stream.end = page + 1;
        return;
    }
    const bool on_trial = stream.marker_every == 1 && stream.trust < kProof;
    if (!on_trial) {
        const std::uint64_t gone = page + 1 - stream.begin;
        const std::uint64_t most = std::max(gone / gone_for_one_ahead(caution_),
                                            caution_ <= kSomeCaution ? kLeastOfScan : kOnTrial);
        stream.ahead = std::min({2 * stream.ahead, most, most_});
        stream.marker_every = std::clamp(stream.ahead / kMarkers, kOftenest, kMarkerEvery);
    }
    stream.used = std::min(stream.end, page + stream.marker_every);
}

void ReadAhead::on_asked(const Followed& followed) {
    VSMP_CHECK(asking_ != nullptr && followed.end.value() >= asking_->end, "an answer to nothing");
    asking_->end = followed.end.value();
    asking_->fetches |= followed.asked != 0;
    asking_ = nullptr;
}

void ReadAhead::on_fates(std::uint64_t used, std::uint64_t wasted) {
    const std::uint64_t in_vain = wasted - wasted_before_;
    const std::uint64_t all = used - used_before_ + in_vain;
    if (all < kWeighed) return;
    used_before_ = used;
    wasted_before_ = wasted;
    fates_ += all;
    wasted_ += in_vain;
    const bool little = 10 * wasted_ < fates_;
    const bool next_to_nothing = 20 * wasted_ < fates_ && 2 * fates_ > kRemembered;
    if (5 * in_vain > all && !little)
        caution_ = std::min(caution_ + 1, kMostCaution);
    else if (next_to_nothing || (little && caution_ > kSomeCaution))
        caution_ -= caution_ > kNoCaution ? 1 : 0;
    for (; fates_ > kRemembered; fates_ /= 2) wasted_ /= 2;
}

// The stream that this fault starts, if it is the last of enough neighbours.
ReadAhead::Stream* ReadAhead::begin(std::uint64_t page, Access access) {
    const auto neighbour = std::ranges::find_if(candidates_, [&](const Candidate& c) {
        return c.fault != 0 && (c.next == page || c.next == page + 1);
    });
    if (neighbour == candidates_.end()) {
        *std::ranges::min_element(candidates_, {}, &Candidate::fault) = {page + 1, time_, access};
        return nullptr;
    }
    neighbour->fault = time_;
    if (access == Access::write) neighbour->access = Access::write;
    if (neighbour->next == page + 1) return nullptr;  // the same page again
    neighbour->next = page + 1;
    if (++neighbour->length < neighbours(caution_)) return nullptr;
    Stream& oldest = *std::ranges::min_element(streams_, {}, &Stream::last_fault);
    oldest = {.begin = page + 1 - neighbour->length,
              .passed = page,
              .used = page,
              .end = page,
              .ahead = std::min(kOnTrial, most_),
              .last_fault = time_,
              .access = neighbour->access};
    *neighbour = {};
    return &oldest;
}

}  // namespace vsmp::coherence
