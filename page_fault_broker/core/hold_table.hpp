// When a page that was just obtained may be taken away again.
//
// An instruction may need many pages at once (its own, its operands', on AMD every page-table page
// of the walk). If each could be taken while the next is being fetched, two nodes could starve
// each other for ever. So a page is held for `hold` after the vCPU it was fetched for could run,
// and when that vCPU faults again meanwhile (a burst), its earlier pages are held on until that
// fault is answered, though never longer than `burst_limit` after the burst began. The limit
// differs by node: of two nodes that wait for each other's pages the one with the shorter limit
// lets go first, the other completes its burst.
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
    Duration hold;         // after the last page of a burst arrived
    Duration burst_limit;  // from the first page of a burst on; > hold
};

// Limits for a node: burst_limit grows with the node's rank so that no two nodes' are equal.
HoldLimits hold_limits(NodeId node, Duration hold);

class HoldTable {
  public:
    explicit HoldTable(HoldLimits limits);

    // `claimant` asked for another page and now waits: its held pages stay (within the limit).
    void on_fault(Claimant claimant, Instant now);
    // A page asked for by `claimant` was mapped.
    void on_granted(Claimant claimant, PageNumber page, Instant now);
    // `claimant` no longer waits although its page did not come (its vCPU left this node).
    void on_abandoned(Claimant claimant, Instant now);

    // Earliest moment at which expired() will return something.
    std::optional<Instant> next_deadline() const;
    // Appends and forgets the pages whose hold is over.
    void expired(Instant now, std::vector<PageNumber>& pages);

  private:
    struct Burst {
        Claimant claimant;
        Instant began;
        Instant last_granted;
        bool waiting = false;
        std::vector<PageNumber> pages;
    };
    Instant deadline(const Burst& burst) const;

    HoldLimits limits_;
    std::vector<Burst> bursts_;  // a handful: one per claimant that faulted recently
};

}  // namespace vsmp::coherence
