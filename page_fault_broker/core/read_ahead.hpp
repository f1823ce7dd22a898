// Sequential read-ahead: recognises vCPUs that go through guest RAM page by page, and says which
// pages to ask for before they get there. It knows nothing of policies and works with any.
//
// Faults are of the whole node: a stream is a place in guest RAM where faults advance, whichever
// vCPU raises them, so vCPUs that go through different parts of it have streams of their own.
//
// The second of two faults on neighbours starts a stream, with few pages ahead. Some of the pages
// asked for are markers. A marker is not mapped before it is touched, so its touch is a fault (that
// no other node hears of) and tells that what was asked for is of use.
//
// Neighbours are met by chance too, where many pages are touched without order. So a stream is on
// trial at first: it asks for kOnTrial pages, all of them markers, and ends if they are not touched
// in their order. Who touched kProof of them in order is a scan. From then on markers are the first
// of each request and some of the others, and with each that is touched more shall be ahead, the
// more the further the scan has gone; what is missing to that is asked for. So several requests are
// under way at once, and neither node waits for the other. A scan that passes markers over again
// and again ends, too.
//
// Where a scan ends what is ahead of it is in vain. While that is much of all, of which the fate is
// known, a scan must have gone further for as much ahead, and it takes more neighbours in a row to
// start one: in the end this is switched off for all but long scans. While it is next to nothing as
// much is ahead of a scan as it went through.
//
// Pure; bounded: so many streams, so many pages ahead. Faults without order are remembered apart
// and displace each other only: a stream, whose faults are rare, survives any number of them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "proto/function_ref.hpp"
#include "proto/ids.hpp"

namespace vsmp::coherence {

// Pages that are fetched ahead of one vCPU at most.
inline constexpr std::uint64_t kMaxReadAhead = 512;

class ReadAhead {
  public:
    static constexpr std::uint64_t kOnTrial = 4;
    // Of a scan so many markers are ahead, one in kOftenest to kMarkerEvery pages.
    static constexpr std::uint64_t kMarkers = 4, kOftenest = 8, kMarkerEvery = 64;
    // Trust grows with every page that is touched in order, and shrinks by others; from kProof on a
    // stream is no trial, with less than none it ends.
    static constexpr int kProof = 4, kMostTrust = 4;
    // What it takes from that trust to leave out a marker.
    static constexpr int kDoubt = 2;
    // Pages that are here and are passed over for each that a scan may have ahead: it costs little
    // to look, and a scan that stops at them has to begin anew behind them.
    static constexpr std::uint64_t kMostHere = 2;
    static constexpr std::size_t kStreams = 8, kCandidates = 16;
    // From none, where scans go on and on, to most, where most of what was asked for is in vain.
    static constexpr unsigned kNoCaution = 0, kSomeCaution = 1, kMostCaution = 5;
    // In a row, that start a stream.
    static constexpr std::uint32_t neighbours(unsigned caution) {
        return 1U << std::max(caution, kSomeCaution);
    }
    // Ahead of a scan is a page for so many that it went through: usually a fifth is in vain where
    // it ends. But at least kLeastOfScan: so many are needed while one is under way.
    static constexpr std::uint64_t gone_for_one_ahead(unsigned caution) {
        return caution == kNoCaution ? 1 : 2U << caution;
    }
    static constexpr std::uint64_t kLeastOfScan = 8;
    // Pages whose fate is known, after which it is weighed how many were wasted, and after which
    // what was before counts half.
    static constexpr std::uint64_t kWeighed = 16, kRemembered = 1024;
    // A stream looks no further ahead than so many times what it may ask for.
    static constexpr std::uint64_t kFarthest = 4;
    // So far behind its front a stream explains faults (writes to what was read, late arrivals);
    // what faults further behind may be the next scan.
    static constexpr std::uint64_t kBehind = 64;

    // `most`: pages ahead of a vCPU; 0: none ever.
    explicit ReadAhead(std::uint64_t most) : most_(most) {}

    // Of the pages from `first` to before `end`, how many were asked for ahead and are not known to
    // be used or gone.
    using StillAhead = FunctionRef<std::uint64_t(PageNumber first, PageNumber end)>;
    // Whether there is a marker among them that was not touched yet.
    using HasMarker = FunctionRef<bool(PageNumber first, PageNumber end)>;
    // Of pages that are here and that a stream passes over, those whose touch it has to hear of:
    // behind many that are mapped it would not go on, and another would have to begin.
    static bool is_milestone(PageNumber page) { return page.value() % kMaxReadAhead == 0; }

    struct Request {
        PageNumber first;
        std::uint64_t count = 0;      // pages to ask for
        std::uint64_t most_here = 0;  // pages that are here and do not count
        Access access{};
        std::uint64_t marker_every = 1;
        bool is_marker(PageNumber page) const {
            return (page.value() - first.value()) % marker_every == 0;
        }
        bool is_on_trial() const { return marker_every == 1; }
    };
    struct Advice {
        // What the stream went past since its last fault, up to the page of this one.
        PageNumber passed_from;
        PageNumber passed_to;
        // What to ask for now; on_asked() is due then. It may reach beyond the guest's RAM. A
        // stream that had to fetch passes over pages that are here, to ask for those behind them.
        std::optional<Request> request;
    };
    // Every fault, also those that this node answers itself.
    Advice on_fault(PageNumber page, Access access, StillAhead still_ahead, HasMarker has_marker);
    // What became of pages that were asked for, of all so far.
    void on_fates(std::uint64_t used, std::uint64_t wasted);
    // How far a request was followed.
    struct Followed {
        PageNumber end;           // behind the last page that was looked at
        std::uint64_t asked = 0;  // pages asked for
    };
    void on_asked(const Followed& followed);

  private:
    struct Stream {
        std::uint64_t begin = 0;   // the first fault
        std::uint64_t passed = 0;  // pages below are behind its last fault
        std::uint64_t used = 0;    // pages below are taken for used
        std::uint64_t end = 0;     // pages below were asked for, or are here
        bool fetches = false;      // some were not here
        std::uint64_t ahead = 0;   // as many shall be; 0: no stream
        std::uint64_t last_fault = 0;
        Access access{};
        std::uint64_t marker_every = 1;  // on trial: all are
        int trust = 0;

        bool explains(std::uint64_t page) const {
            return ahead != 0 && page + kBehind >= passed && page <= end;
        }
    };
    struct Candidate {           // a fault that no stream explains
        std::uint64_t next = 0;  // the page behind it
        std::uint64_t fault = 0;
        Access access{};
        std::uint32_t length = 1;  // neighbours in a row
    };

    Stream* explaining(PageNumber page, StillAhead still_ahead, HasMarker has_marker);
    Stream* begin(std::uint64_t page, Access access);
    void follow(Stream& stream, std::uint64_t page);

    std::uint64_t most_;
    unsigned caution_ = kSomeCaution;
    std::uint64_t used_before_ = 0, wasted_before_ = 0;  // when it was weighed last
    std::uint64_t fates_ = 0, wasted_ = 0;               // that are remembered
    std::uint64_t time_ = 0;                             // counts faults
    std::array<Stream, kStreams> streams_{};
    std::array<Candidate, kCandidates> candidates_{};
    Stream* asking_ = nullptr;
};

}  // namespace vsmp::coherence
