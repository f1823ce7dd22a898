// Which pages to bring along with a page that one vCPU faults on. Three sources, each of which
// counts its hits and is silent for a while when more than a fifth of its pages were wasted:
//
//   stream     steps of one and the same distance, forwards or backwards, found among the last
//              faults; the deeper the longer it goes on
//   companion  pages that came right after this one before
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "locality_ml/policy.hpp"

namespace vsmp::locality {

// Pages that followed others, for all vCPUs of a node: a direct-mapped table, fixed in size.
class Companions {
  public:
    static constexpr std::size_t kSlots = 4096;
    Companions() : slots_(kSlots) {}

    void follows(PageNumber page, PageNumber next);
    // The page that follows, if it did so at least twice in a row.
    std::optional<PageNumber> after(PageNumber page) const;

  private:
    struct Slot {
        std::uint64_t page = ~0ULL, next = 0;
        std::uint8_t confidence = 0;
    };
    static std::size_t index(PageNumber page) { return (page.value() * 0x9e3779b97f4a7c15) >> 52; }
    std::vector<Slot> slots_;
};

// Whether a source may speak: its used and wasted pages, and a rest after too much waste.
class Trust {
  public:
    static constexpr float kMaxWaste = 0.2F;

    // How many pages it may ask for now.
    std::size_t allowance(Instant now) const;
    void asked(std::size_t pages) { in_flight_ += static_cast<std::uint32_t>(pages); }
    void on_fate(PrefetchFate fate, Instant now);
    std::uint64_t used() const { return used_; }
    std::uint64_t wasted() const { return wasted_; }

  private:
    std::uint64_t used_ = 0, wasted_ = 0;        // since ever
    float recent_used_ = 0, recent_wasted_ = 0;  // the last hundred or so
    std::uint32_t in_flight_ = 0;                // asked for, fate unknown
    std::uint32_t quiet_times_ = 0;
    Instant quiet_until_{};
};

class Prefetcher {
  public:
    // A fault on `page`; adds to `out` what should come along.
    void on_fault(PageNumber page, NodeId location, std::uint64_t page_count, Instant now,
                  Companions& companions, PageList& out);
    void on_fate(PageNumber page, PrefetchFate fate, Instant now);
    // The vCPU came anew: its streams are of the past.
    void reset();

    float accuracy() const;
    float coverage() const;
    float sequential() const { return sequential_; }  // share of faults that went on with a stream
    std::uint64_t used() const { return stream_trust_.used() + companion_trust_.used(); }
    std::uint64_t wasted() const { return stream_trust_.wasted() + companion_trust_.wasted(); }

  private:
    struct Stream {
        std::int64_t last = -1;      // page of the last fault
        std::int64_t expected = -1;  // where the next fault is if all that was asked for is used
        std::int64_t step = 0;
        std::uint32_t length = 0;  // faults that kept the step
        std::uint32_t age = 0;     // faults since
    };
    Stream& stream_of(std::int64_t page);
    void ask(Stream& stream, std::uint64_t page_count, Instant now, PageList& out);
    void remember(PageNumber page, bool stream);

    std::array<Stream, 4> streams_{};
    Trust stream_trust_, companion_trust_;
    struct Asked {
        std::uint64_t page = ~0ULL;
        bool stream = false;
    };
    std::array<Asked, 256> asked_{};  // by low bits of the page: whose idea it was
    std::uint64_t previous_ = ~0ULL;
    std::uint64_t faults_ = 0;
    float sequential_ = 0;
};

}  // namespace vsmp::locality
