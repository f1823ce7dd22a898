// Sequential read-ahead: recognises vCPUs that go through guest RAM page by page, and says which
// pages to ask for before they get there. It knows nothing of policies and works with any.
//
// The second of two faults on neighbours starts a stream with a small window. The first page of
// each window is the marker: it is not mapped before it is touched, so its touch is a fault (that no
// other node hears of) and tells that the window was of use: the next window, twice as large, is
// asked for while this one is being used up. A stream that is forgotten before its marker was
// touched has asked in vain, and new streams start with half the window; with each window that was
// of use they start with twice as much again.
//
// Pure; bounded: so many streams, so many pages a window.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "proto/ids.hpp"

namespace vsmp::coherence {

struct ReadAheadCounters {
    std::uint64_t asked = 0;  // pages
    // Of those, by whole windows: the marker was touched, or the stream forgotten before.
    std::uint64_t used = 0, wasted = 0;
};

class ReadAhead {
  public:
    static constexpr std::uint64_t kSmallestWindow = 1, kFirstWindow = 4;

    // `max_window`: pages asked for at once; 0: none ever.
    explicit ReadAhead(std::uint64_t max_window) : max_window_(max_window) {}

    // `first` is the marker.
    struct Window {
        PageNumber first;
        std::uint64_t count = 0;
        Access access{};
    };
    // Every fault, also those that this node answers itself. What to ask for now, if anything;
    // on_asked() is due then. The window may reach beyond the guest's RAM.
    std::optional<Window> on_fault(PageNumber page, Access access);
    // Only the first `count` pages of the window just returned could be asked for.
    void on_asked(std::uint64_t count);

    const ReadAheadCounters& counters() const { return counters_; }

  private:
    enum class Marker : std::uint8_t { none, waits, touched };
    struct Stream {
        std::uint64_t begin = 0, first = 0, end = 0;  // the window before, the last one: [first, end)
        std::uint64_t window = 0;                     // how large the next one shall be; 0: no stream
        std::uint64_t last_used = 0;
        Access access{};
        Marker marker = Marker::none;
    };
    static constexpr std::size_t kStreams = 8;

    Window advance(Stream& stream);
    void begin(PageNumber page, Access access);
    void forget(Stream& stream);

    std::uint64_t max_window_;
    std::uint64_t start_ = kFirstWindow;
    std::uint64_t time_ = 0;  // counts faults
    std::array<Stream, kStreams> streams_{};
    Stream* asking_ = nullptr;
    ReadAheadCounters counters_;
};

}  // namespace vsmp::coherence
