// When a page that was just obtained may be taken away again.
//
// An instruction may need many pages at once (its own, its operands', on AMD every page-table page
// of the walk). If each could be taken while the next is being fetched, two nodes could starve
// each other for ever. So a page is held for `hold` after the vCPU it was fetched for could run,
// and when that vCPU faults again meanwhile (a burst), its earlier pages are held on until that
// fault is answered.
//
// Two bursts may then wait for each other's pages. So a burst that still waits `limit` after it
// began is cut: it lets go of everything, and begins anew with the page it waits for. The limit is
//
//     base * (1 + node + node_count * cuts so far, up to kMaxCuts)
//
// which differs between any two nodes, so that one of them lets go while the other goes on; and
// which grows with every defeat, so that the one that lost last wins next time. A burst that ends
// by itself (its vCPU ran for `hold` without another fault) forgets its defeats.
//
// A page that its own claimant faults on again (shared, and now to be written) is of no use to it as
// it is and leaves the burst: of two nodes that both want to write what both read, one has to yield
// at once. Other claimants of that page keep it.
//
// Pure: time is passed in. Owned by the data-plane thread.
#pragma once

#include <optional>
#include <vector>

#include "proto/ids.hpp"
#include "proto/time.hpp"

namespace vsmp::coherence {

// The faulting thread of execution a hold belongs to: a vCPU, or a device (any id of the caller's).
using Claimant = Id<struct ClaimantTag, std::uint32_t>;

struct HoldLimits {
    Duration hold;          // after the last page of a burst arrived
    Duration burst_limit;   // from the first page of a burst on; > hold
    Duration limit_growth;  // added to burst_limit for every cut
};

// `base` in the formula above, in hold times: long enough for some tens of fetches.
inline constexpr int kBurstHolds = 40;
inline constexpr std::uint32_t kMaxCuts = 16;
// More than one instruction can touch, with all the page-table pages on the way there; beyond it
// the vCPU has made progress and its oldest page is let go.
inline constexpr std::size_t kMaxBurstPages = 64;

HoldLimits hold_limits(NodeId node, std::size_t node_count, Duration hold);

class HoldTable {
  public:
    explicit HoldTable(HoldLimits limits);

    // `claimant` faulted on a page that cannot be mapped at once: its other pages stay held.
    void on_fault(Claimant claimant, PageNumber page, Instant now);
    // start_hold: a page was obtained. Call it for each claimant whose fault on this page was read
    // since it was last mapped: the page is held until the last of them had its turn.
    void on_granted(Claimant claimant, PageNumber page, Instant now);
    // `claimant` will not use its pages here (its vCPU left this node): they are let go at once.
    void on_abandoned(Claimant claimant, Instant now);

    // Earliest moment at which expired() will return something.
    std::optional<Instant> next_deadline() const;
    // Appends and forgets the pages whose hold is over.
    void expired(Instant now, std::vector<PageNumber>& pages);

  private:
    struct Burst {
        Claimant claimant;
        Instant began;         // when the first of `pages` arrived
        Instant last_granted;  // when the last of them arrived
        std::optional<PageNumber> waits_for;
        std::uint32_t cuts = 0;
        std::vector<PageNumber> pages;  // oldest first, each once
    };
    Burst& burst_of(Claimant claimant);
    std::optional<Instant> deadline(const Burst& burst) const;
    bool held(PageNumber page) const;
    void let_go(PageNumber page, Instant now);

    HoldLimits limits_;
    std::vector<Burst> bursts_;      // a handful: one per claimant that faulted recently
    std::vector<PageNumber> let_go_;  // over, and not yet told by expired()
    Instant let_go_at_;               // when the first of let_go_ was
};

}  // namespace vsmp::coherence
