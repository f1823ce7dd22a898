#include "page_fault_broker/core/read_ahead.hpp"

#include <algorithm>

#include "proto/check.hpp"

namespace vsmp::coherence {

std::optional<ReadAhead::Window> ReadAhead::on_fault(PageNumber page, Access access) {
    if (max_window_ == 0) return std::nullopt;
    ++time_;
    for (Stream& stream : streams_) {
        if (stream.window == 0 || page.value() < stream.begin || page.value() > stream.end) continue;
        stream.last_used = time_;
        // Who reads and then writes is given what it will need from the next window on.
        if (access == Access::write) stream.access = Access::write;
        if (page.value() == stream.end) {  // nothing was asked for, or less than wanted
            if (stream.marker == Marker::waits) forget(stream);
            stream.window = std::max(stream.window, start_);
            stream.end = page.value() + 1;
            return advance(stream);
        }
        if (page.value() < stream.first || stream.marker != Marker::waits) return std::nullopt;
        counters_.used += stream.end - stream.first;
        start_ = std::min(2 * start_, kFirstWindow);
        stream.marker = Marker::touched;
        stream.window = std::min(2 * stream.window, max_window_);
        return advance(stream);
    }
    begin(page, access);
    return std::nullopt;
}

ReadAhead::Window ReadAhead::advance(Stream& stream) {
    stream.begin = stream.first;
    stream.first = stream.end;
    asking_ = &stream;
    return {PageNumber{stream.first}, std::min(stream.window, max_window_), stream.access};
}

void ReadAhead::on_asked(std::uint64_t count) {
    VSMP_CHECK(asking_ != nullptr, "an answer to nothing");
    asking_->end = asking_->first + count;
    asking_->marker = count > 0 ? Marker::waits : Marker::none;
    asking_ = nullptr;
    counters_.asked += count;
}

void ReadAhead::begin(PageNumber page, Access access) {
    Stream& oldest = *std::ranges::min_element(streams_, {}, &Stream::last_used);
    forget(oldest);
    oldest = {.begin = page.value(),
              .first = page.value(),
              .end = page.value() + 1,
              .window = start_,
              .last_used = time_,
              .access = access};
}

void ReadAhead::forget(Stream& stream) {
    if (stream.window == 0 || stream.marker != Marker::waits) return;
    counters_.wasted += stream.end - stream.first;
    start_ = std::max(start_ / 2, kSmallestWindow);
    stream.marker = Marker::none;
}

}  // namespace vsmp::coherence
