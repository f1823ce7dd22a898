#include "page_fault_broker/core/read_ahead.hpp"

#include <algorithm>

#include "proto/check.hpp"

namespace vsmp::coherence {

std::optional<ReadAhead::Request> ReadAhead::on_fault(PageNumber page, Access access) {
    if (most_ == 0) return std::nullopt;
    ++time_;
    const auto stream = std::ranges::find_if(streams_, [&](const Stream& s) {
        return s.ahead != 0 && s.begin <= page.value() && page.value() <= s.end;
    });
    if (stream == streams_.end()) {
        begin(page.value(), access);
        return std::nullopt;
    }
    stream->last_fault = time_;
    // Who reads and then writes is given what it will need from the next request on.
    if (access == Access::write) stream->access = Access::write;
    if (page.value() < stream->used) return std::nullopt;
    follow(*stream, page.value());
    const std::uint64_t wanted_end = page.value() + 1 + std::min(stream->ahead, most_);
    if (wanted_end <= stream->end) return std::nullopt;
    asking_ = &*stream;
    return Request{PageNumber{stream->end}, wanted_end - stream->end, stream->access};
}

void ReadAhead::follow(Stream& stream, std::uint64_t page) {
    if (page == stream.end) {  // nothing was asked for, or less than wanted
        forget(stream);
        stream.used = stream.end = page + 1;
        return;
    }
    const std::uint64_t used = std::min(stream.end, page + kMarkerEvery);
    counters_.used += used - stream.used;
    stream.used = used;
    stream.ahead = std::min(2 * stream.ahead, most_);
    start_ = std::min(2 * start_, kLargestStart);
}

void ReadAhead::on_asked(std::uint64_t count) {
    VSMP_CHECK(asking_ != nullptr, "an answer to nothing");
    asking_->end += count;
    asking_ = nullptr;
    counters_.asked += count;
}

void ReadAhead::begin(std::uint64_t page, Access access) {
    Stream& oldest = *std::ranges::min_element(streams_, {}, &Stream::last_fault);
    forget(oldest);
    oldest = {.begin = page,
              .used = page + 1,
              .end = page + 1,
              .ahead = start_,
              .last_fault = time_,
              .access = access};
}

void ReadAhead::forget(Stream& stream) {
    if (stream.used == stream.end) return;
    counters_.wasted += stream.end - stream.used;
    start_ = std::max(start_ / 2, kSmallestStart);
}

}  // namespace vsmp::coherence
