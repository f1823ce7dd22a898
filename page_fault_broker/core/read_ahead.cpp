#include "page_fault_broker/core/read_ahead.hpp"

#include <algorithm>

#include "proto/check.hpp"

namespace vsmp::coherence {

ReadAhead::Advice ReadAhead::on_fault(PageNumber page, Access access, StillAhead still_ahead) {
    Advice advice{.passed_from = page, .passed_to = page, .request = {}};
    if (most_ == 0) return advice;
    ++time_;
    const auto found =
        std::ranges::find_if(streams_, [&](const Stream& s) { return s.explains(page.value()); });
    Stream* stream = found != streams_.end() ? &*found : begin(page.value(), access);
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
    advice.request = {PageNumber{stream->end}, count, stream->fetches ? kMostHere * count : 0,
                      stream->access};
    return advice;
}

void ReadAhead::follow(Stream& stream, std::uint64_t page) {
    if (page == stream.end) {  // nothing was asked for, or less than wanted
        forget(stream);
        stream.used = stream.end = page + 1;
        return;
    }
    stream.used = std::min(stream.end, page + kMarkerEvery);
    stream.ahead = std::min(2 * stream.ahead, most_);
    start_ = std::min(2 * start_, kLargestStart);
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
    neighbours_ = 5 * in_vain > all ? std::min(neighbours_ + 1, kMostNeighbours)
                                    : std::max(neighbours_ - 1, kFewestNeighbours);
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
    if (++neighbour->length < neighbours_) return nullptr;
    Stream& oldest = *std::ranges::min_element(streams_, {}, &Stream::last_fault);
    forget(oldest);
    oldest = {.passed = page,
              .used = page,
              .end = page,
              .ahead = start_,
              .last_fault = time_,
              .access = neighbour->access};
    *neighbour = {};
    return &oldest;
}

void ReadAhead::forget(Stream& stream) {
    if (stream.used == stream.end) return;
    start_ = std::max(start_ / 2, kSmallestStart);
}

}  // namespace vsmp::coherence
