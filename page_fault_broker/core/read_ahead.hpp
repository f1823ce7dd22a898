// Sequential read-ahead: recognises vCPUs that go through guest RAM page by page, and says which
// pages to ask for before they get there. It knows nothing of policies and works with any.
//
// The second of two faults on neighbours starts a stream, with few pages ahead. Some of the pages
// asked for are markers: of each request the first and every kMarkerEvery-th. A marker is not
// mapped before it is touched, so its touch is a fault (that no other node hears of) and tells that
// what was asked for is of use: twice as much shall be ahead from now on, and what is missing to
// that is asked for. So several requests are under way at once, and neither node waits for the
// other. A stream that is forgotten with pages unused has asked in vain, and new streams start with
// half as much; with each touch of a marker they start with twice as much again.
//
// Pure; bounded: so many streams, so many pages ahead.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "proto/ids.hpp"

namespace vsmp::coherence {

struct ReadAheadCounters {
    std::uint64_t asked = 0;  // pages
    // Of those, as far as markers tell: a marker stands for the pages up to the next.
    std::uint64_t used = 0, wasted = 0;
};

class ReadAhead {
  public:
    static constexpr std::uint64_t kSmallestStart = 1, kLargestStart = 4;
    static constexpr std::uint64_t kMarkerEvery = 32;

    // `most`: pages ahead of a vCPU; 0: none ever.
    explicit ReadAhead(std::uint64_t most) : most_(most) {}

    struct Request {
        PageNumber first;
        std::uint64_t count = 0;
        Access access{};
        bool is_marker(PageNumber page) const {
            return (page.value() - first.value()) % kMarkerEvery == 0;
        }
    };
    // Every fault, also those that this node answers itself. What to ask for now, if anything;
    // on_asked() is due then. It may reach beyond the guest's RAM.
    std::optional<Request> on_fault(PageNumber page, Access access);
    // Only the first `count` pages of the request just returned could be asked for.
    void on_asked(std::uint64_t count);

    const ReadAheadCounters& counters() const { return counters_; }

  private:
    struct Stream {
        std::uint64_t begin = 0;  // its first page
        std::uint64_t used = 0;   // pages below were
        std::uint64_t end = 0;    // pages below were asked for
        std::uint64_t ahead = 0;  // as many shall be; 0: no stream
        std::uint64_t last_fault = 0;
        Access access{};
    };
    static constexpr std::size_t kStreams = 8;

    void follow(Stream& stream, std::uint64_t page);
    void begin(std::uint64_t page, Access access);
    void forget(Stream& stream);

    std::uint64_t most_;
    std::uint64_t start_ = kLargestStart;
    std::uint64_t time_ = 0;  // counts faults
    std::array<Stream, kStreams> streams_{};
    Stream* asking_ = nullptr;
    ReadAheadCounters counters_;
};

}  // namespace vsmp::coherence
