// Which 2 MiB ranges of a node's own RAM are mapped with one large page: all of whose pages are
// here, this node's alone and mapped, and none of which was ever shared.
//
// What is write-protected page by page cannot be mapped large (docs/memory.md), so a range is
// watched for writes only from the moment on when a page of it is first to be shared or taken away:
// it is split then, and stays so. Each border between ranges that are watched differently is one
// more area of the process, of which the kernel allows so many: when they become too many, all
// ranges are split, which leaves one area.
//
// Pure, owned by the data-plane thread.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "proto/ids.hpp"
#include "proto/time.hpp"

namespace vsmp::coherence {

inline constexpr std::uint64_t kPagesPerRange = 512;  // 2 MiB, PMD_SIZE of x86-64

// Whole ranges among `count` pages from `first` on; none: `count` is 0.
struct LargeArea {
    PageNumber first;
    std::uint64_t count = 0;
};
LargeArea large_area(PageNumber first, std::uint64_t count);

struct LargeCounters {
    std::uint64_t collapsed = 0;  // ranges that became one large page
    std::uint64_t split = 0;      // ranges whose pages may be shared from now on; of those:
    std::uint64_t split_large = 0;
    std::uint64_t failed = 0;  // ranges that the kernel refused to collapse, kMostTries times
};

class LargeRanges {
  public:
    // Making a large page copies 2 MiB on the thread that answers faults: not more often than so.
    static constexpr Duration kBetween = std::chrono::milliseconds(10);

    // The kernel refuses while somebody has one of the pages in hand: it is tried again, later.
    static constexpr int kMostTries = 10;

    // `most_borders`: areas of the process that may be spent.
    LargeRanges(LargeArea area, std::uint64_t most_borders);

    // A page was mapped for writing.
    void on_mapped(PageNumber page);

    // The next range that may be complete and when to look at it; collapsed(), incomplete() or
    // failed() is due then.
    std::optional<Instant> next_look() const;
    PageNumber candidate() const { return first_page(candidates_.front()); }
    void collapsed(Instant now);
    void incomplete(std::uint64_t mapped, Instant now);  // so many pages of it are mapped
    void failed(Instant now);

    // A page is to be shared, or taken away. What has to be split first: watched for writes, and,
    // if it was large, unmapped.
    struct Split {
        LargeArea area;
        std::vector<PageNumber> large;  // first pages of large ranges in it
    };
    std::optional<Split> before_sharing(PageNumber page);

    const LargeCounters& counters() const { return counters_; }

  private:
    enum class State : std::uint8_t { small, large, given_up, split };
    struct Range {
        std::uint16_t mapped = 0;  // pages that were, since it was last looked at
        State state = State::small;
        std::uint8_t refused = 0;  // times
        bool queued = false;
    };
    bool contains(PageNumber page) const {
        return page.value() - area_.first.value() < area_.count;
    }
    std::size_t index_of(PageNumber page) const {
        return (page.value() - area_.first.value()) / kPagesPerRange;
    }
    PageNumber first_page(std::size_t range) const {
        return PageNumber{area_.first.value() + range * kPagesPerRange};
    }
    bool is_split(std::size_t range) const {
        return range >= ranges_.size() || ranges_[range].state == State::split;
    }
    void done(Instant now);
    Split split_one(std::size_t range);
    Split split_all();

    LargeArea area_;
    std::uint64_t most_borders_;
    std::uint64_t borders_ = 2;  // at both ends: what lies beyond is watched for writes
    std::vector<Range> ranges_;
    std::deque<std::size_t> candidates_;
    Instant next_{};
    LargeCounters counters_;
};

}  // namespace vsmp::coherence
