// How much memory a node spends on guest pages, and which of them leave when it runs short.
//
// A page counts from the moment it is asked for, so the limit cannot be exceeded by what is on its
// way. Memory is given back in this order:
//   1. stale copies: pages that vCPUs here may not use any more;
//   2. copies of pages that their home has as well, coldest first: dropped at once;
//   3. pages that are here alone, coldest first: their homes are asked to take them, some at a
//   time.
// Pages at home here stay: home is where pages rest when nobody has room for them.
//
// Nothing tells when a vCPU uses a page that is mapped, and asking would cost every access. So age
// is sampled: pages queue in the order they came, copies and others apart; the oldest of each are
// unmapped and queue again, and only
// if they reach the end of that second queue without having been touched do they leave. A touch
// costs one fault that no other node hears of; pages that are not sampled cost nothing.
//
// A scan over more than fits would find nothing of what it left behind: the oldest pages are what
// it comes to next. So pages that read-ahead fetches and that left not long ago (no more pages left
// since than twice the limit) go before all others, as soon as the scan is past them, and the rest
// stays for it. One run of them in 32 is kept all the same, in place of the oldest. Whether what is
// kept is used is tried time and again: some of it is unmapped, and if less than three quarters of
// that were touched when twice the limit has left, pages of scans are as others for a while, a
// longer one each time.
//
// It works ahead: when less than `low` pages are free it goes on until `high` are, or will be once
// their homes have taken what was offered.
//
// Why it cannot get stuck: homes get memory before anybody else. While pages homed here are away, a
// part is kept back for them that fetching may not use. Suppose every node of some group is full
// and waits for homes in that group. All that they have then is homed in the group, so it needs at
// most the sum of their shares, which is less than the sum of their limits: one of them is not
// full.
//
// Pure, owned by the data-plane thread. All sizes in pages.
#pragma once

#include <deque>
#include <vector>

#include "page_fault_broker/core/page_table.hpp"

namespace vsmp::coherence {

// What the memory of a page is good for.
enum class Use : std::uint8_t {
    none,     // it has none
    stale,    // nobody may use it
    fixed,    // in use by the protocol, or at home
    leaving,  // its home was asked to take it
    copy,     // home has it too
    owned,    // nobody else has it, or others get it from here
};
Use use_of(const PageTable& table, PageNumber page);

// What the set needs done.
class MemoryKeeper {
  public:
    virtual ~MemoryKeeper() = default;
    // The next touch of the page by a vCPU faults. This and discard() may be put off until the call
    // of the set is over.
    virtual void unmap(PageNumber page) = 0;
    // LocalEventKind::evict. It may call ResidentSet::on_lost().
    virtual void evict(PageNumber page) = 0;
    // The memory of a stale page goes back to the host.
    virtual void discard(PageNumber page) = 0;
};

// What memory is wanted for.
enum class Purpose : std::uint8_t {
    home,   // a page homed here
    fetch,  // a page that a vCPU waits for
    ahead,  // a page that may be wanted soon
};

struct MemoryCounters {
    std::uint64_t resident = 0;
    std::uint64_t resident_max = 0;
    std::uint64_t dropped = 0;    // copies that home has as well
    std::uint64_t released = 0;   // homes asked to take a page
    std::uint64_t discarded = 0;  // stale copies given back, those of the above two among them
    std::uint64_t sampled = 0;    // unmapped to see whether they are used
    std::uint64_t spared = 0;     // and were
    std::uint64_t passing = 0;    // taken for those of a scan that comes back
};

class ResidentSet {
  public:
    // `limit`: pages, 0: none. More than the pages homed here. References outlive the set.
    ResidentSet(PageTable& table, MemoryKeeper& keeper, std::uint64_t limit);

    // Sets PageFlag::framed. False: there is no room now; once there may be some, ask again.
    bool take(PageNumber page, Purpose purpose);
    // Counts a page that is there already (the boot image).
    void adopt(PageNumber page);
    // This node obtained the page; it lost it.
    void on_obtained(PageNumber page);
    void on_lost(PageNumber page);
    // What was offered to a page's home is settled: it has taken the page, or this node keeps it.
    void on_offer_settled(PageNumber page);
    // Makes room if there is too little. Call it after each round of events.
    void work_ahead();

    bool limited() const { return limit_ != 0; }
    bool roomy() const { return !limited() || free() >= high(); }
    std::uint64_t limit() const { return limit_; }
    const MemoryCounters& counters() const { return counters_; }

  private:
    std::uint64_t free() const { return limit_ - counters_.resident; }
    std::uint64_t kept_for_home() const;
    std::uint64_t low() const { return kept_for_home() + slice_; }
    std::uint64_t high() const { return low() + slice_; }
    std::uint64_t needed(Purpose purpose) const;
    bool discard_stale();
    bool drop_copy();
    bool release_owned();
    void sample_ahead();
    // Pages that are not sampled yet, in the order they came.
    struct Queues {
        std::deque<PageNumber> active;
        std::deque<PageNumber> passing;  // by a scan that comes back: they go first
    };
    bool sample_one(Queues& from, std::uint64_t sampled);
    bool sample_passing(Queues& from);
    bool sample(PageNumber page, Queues& from);
    bool is_returning(PageNumber page) const;
    void try_what_is_kept();
    void begin_trial();
    std::uint64_t departures() const { return counters_.discarded / departures_per_note_; }
    Queues& queues_of(PageNumber page);
    void discard(PageNumber page);

    PageTable& table_;
    MemoryKeeper& keeper_;
    std::uint64_t limit_;
    std::uint64_t home_pages_;
    std::uint64_t home_resident_ = 0;
    std::uint64_t slice_;           // how much is done at once
    std::deque<PageNumber> stale_;  // PageFlag::discardable
    std::uint64_t departures_per_note_;
    // PageFlag::queued: the page is in one of these, by what it was when it came there.
    Queues new_copies_;
    Queues new_owned_;
    std::deque<PageNumber> copies_;  // unmapped, to be dropped
    std::deque<PageNumber> owned_;   // unmapped, to be released
    std::uint64_t leaving_ = 0;      // offered, and not settled yet
    std::uint64_t passed_ = 0;       // counts pages that a scan is past
    std::vector<PageNumber> tried_;  // unmapped, not in the second queue
    std::uint64_t trial_end_ = 0;    // by counters_.discarded, as the next one
    std::uint64_t paused_until_ = 0;
    std::uint64_t next_pause_;
    MemoryCounters counters_;
};

}  // namespace vsmp::coherence
