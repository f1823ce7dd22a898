// Pages that a vCPU needs together again and again travel together: the page-table pages of one
// walk, stack, task struct and run queue at an entry into the kernel. One request for each, one
// after the other, costs a round trip each; asked for with the first of them, all cost one.
//
// What is needed together is learned from the order of faults: a page on which the same vCPU
// faulted next, at least kJoined times, is joined to the one before. What is asked for with a page
// is what is joined to it, and what is joined to that. Whether it was of use cannot be seen of a
// page that is mapped when it comes; so one of those asked for is a probe, not mapped before it is
// touched: taken away untouched it speaks against the link that brought it.
//
// Who reads a page and then writes to it, time and again, is given it to write at once. Every
// kSampleEvery-th time it is not, to see whether that still is so.
//
// Pure; bounded: a table of so many pages, in which new ones displace others.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "page_fault_broker/core/hold_table.hpp"
#include "proto/ids.hpp"

namespace vsmp::coherence {

// Pages that are asked for together with one at most; all of them are held as one burst.
inline constexpr std::size_t kMaxCompanions = 48;
static_assert(kMaxCompanions < kMaxBurstPages);

struct CompanionCounters {
    std::uint64_t asked = 0;             // pages
    std::uint64_t used = 0, wasted = 0;  // of the probes among them
};

class Companions {
  public:
    static constexpr int kJoined = 2, kMostScore = 7;
    static constexpr unsigned kSampleEvery = 4;

    // `most`: pages asked for together with one, at most kMaxCompanions; 0: none ever.
    explicit Companions(std::size_t most);

    enum class Use : std::uint8_t { expected, probe };
    struct Wish {
        PageNumber page;
        Access access{};
        Use use{};
    };
    // A fault that another node has to answer. What to ask for: `access` or more.
    Access on_fault(Claimant claimant, PageNumber page, Access access);
    // What to ask for together with `page`; nearest first; valid until the next call. Pages may be
    // here already.
    std::span<const Wish> joined_to(PageNumber page);
    // So many of those were not here, and were asked for.
    void on_asked(std::size_t count) { counters_.asked += count; }
    // A page that was asked for as a probe is needed now.
    void on_touched(PageNumber page);
    // It was not: it is taken from this node, or given up.
    void on_wasted(PageNumber page);
    // Any page is taken from this node, or given up.
    void on_lost(PageNumber page);
    const CompanionCounters& counters() const { return counters_; }

  private:
    struct Follower {
        std::uint64_t page = 0;
        std::int8_t score = 0;  // 0: none
    };
    struct Entry {
        std::uint64_t page = kNone;
        std::array<Follower, 4> followers{};
        Access last = Access::read;  // what it was wanted for
        bool only_read = false;      // it is here to read since it was asked for
        std::int8_t upgrades = 0;    // how sure it is that a write follows a read
        std::uint8_t reads = 0;
    };
    struct Probe {
        std::uint64_t page = kNone, before = kNone;
    };
    static constexpr std::uint64_t kNone = ~std::uint64_t{0};
    static constexpr std::size_t kEntries = 2048, kClaimants = 64, kProbes = 64;

    Entry* find(std::uint64_t page);
    Entry& entry(std::uint64_t page);
    void join(std::uint64_t before, std::uint64_t page);
    bool judge(std::uint64_t page, int change);
    bool is_wished(std::uint64_t page) const;
    void wish_joined_to(std::uint64_t page);

    std::size_t most_;
    std::vector<Entry> entries_;
    std::array<std::uint64_t, kClaimants> last_;  // page on which a claimant faulted last
    std::array<Probe, kProbes> probes_{};
    std::size_t next_probe_ = 0;
    std::uint64_t first_ = kNone;  // with which all wishes go
    std::vector<Wish> wishes_;
    std::vector<std::uint64_t> because_of_;  // by wish: to what it is joined
    std::size_t turns_ = 0;                  // calls of joined_to that found something
    CompanionCounters counters_;
};

}  // namespace vsmp::coherence
