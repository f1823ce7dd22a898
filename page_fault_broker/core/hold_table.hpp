// When a page that was just obtained may be taken away again.
//
// An instruction may need many pages at once (its own, its operands', on AMD every page-table page
// of the walk). If each could be taken while the next is being fetched, two nodes could starve
// each other for ever. So a page is held for `hold` after the vCPU it was fetched for could run,
// and when that vCPU faults again meanwhile (a burst), its earlier pages are held on until that
// fault is answered.
//
// The time counts that the vCPU had, not that passed: its thread may have to wait for a CPU, and a
// page that is taken away before it ran was moved in vain. Who gets none at all loses its turn
// after kLatestHolds. What it had too much when the page was taken at last, since the broker's
// thread waits for CPUs as well, or too little, its next turn with the same page is shorter or
// longer (deficit round robin, Shreedhar and Varghese 1995).
//
// A hold shorter than what it takes to hand a page over makes no sense: everybody would spend more
// time waiting for the page than having it, and who wakes up slowly would never have it. So a hold
// is at least four times what a fetch takes (a vCPU needs as much again from its wake-up until KVM
// has mapped the page, which nobody here sees), and as long as a broker is late at its end, for the
// slowest of the nodes, as they measure it and tell each other: who shares a page has to hold it as
// long as the others.
//
// Two bursts may then wait for each other's pages. So a burst has only so much patience with each
// fault; then it is cut: it lets go of everything, and begins anew with the page it waits for. But
// what one lets go of may reach a third node that waits for the rest, and so on round and round;
// of all that fight, one has to be more patient than the others together, and not always the same.
// So every burst draws its patience from a distribution with a long tail: at least `patience`, more
// than x times as much with a chance of about 1/x, at most `spread` times as much, `spread` being
// some times the number of nodes. (The simulation chose this. Fixed limits, and limits that grow
// with every defeat, come to where nobody wins any more.)
//
// A page that its own claimant faults on again (shared, and now to be written) is of no use to it
// as it is and leaves the burst: of two nodes that both want to write what both read, one has to
// yield at once. Other claimants of that page keep it.
//
// Pure: time is passed in, and what is drawn follows from the seed. Owned by the data-plane thread.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "page_fault_broker/core/running_median.hpp"
#include "proto/ids.hpp"
#include "proto/time.hpp"

namespace vsmp::coherence {

// The faulting thread of execution a hold belongs to: a vCPU, or a device (any id of the caller's).
using Claimant = Id<struct ClaimantTag, std::uint32_t>;

struct HoldLimits {
    Duration hold;             // after the last page of a burst arrived
    Duration patience;         // the least that a burst has with one fault
    std::uint32_t spread = 1;  // how many times that it may have at most
    std::uint64_t seed = 0;    // of the draws; differs by node
    Duration longest{};        // what `hold` grows to at most; less than it: it does not grow
};

// How long claimants have had their turn.
class TurnClock {
  public:
    virtual ~TurnClock() = default;
    // Time that the claimant ran, or rested because it wanted to, since whenever. Nothing is known:
    // all time that passes counts.
    virtual std::optional<Duration> had(Claimant claimant) const = 0;
};

// Least patience in hold times or round trips, whichever is longer.
inline constexpr int kPatience = 2;
// Spread for each node there is.
inline constexpr std::uint32_t kSpreadPerNode = 4;
// A hold ends after so many times its length, though its claimant may have had no turn.
inline constexpr int kLatestHolds = 8;
// Hold in times of what it takes to hand a page over, at least.
inline constexpr int kHoldPerHandOver = 4;
// Longest that a hold becomes when fetches take long, unless it is set to more.
inline constexpr Duration kLongestMeasuredHold = std::chrono::milliseconds(20);
// More than one instruction can touch, with all the page-table pages on the way there; beyond it
// the vCPU has made progress and its oldest page is let go.
inline constexpr std::size_t kMaxBurstPages = 64;

// `hold`: what a vCPU thread needs to wake up and run an instruction. `round_trip`: what a fetch of
// an uncontended page takes at most, as a rule.
HoldLimits hold_limits(NodeId node, std::size_t node_count, Duration hold, Duration round_trip);

class HoldTable {
  public:
    explicit HoldTable(HoldLimits limits);
    // Outlives the table; without one, or with null, all time that passes counts.
    void set_clock(const TurnClock* clock) { clock_ = clock; }

    // A page was fetched, and nobody is known to have stood in the way.
    void on_fetched(Duration took) { fetches_.add(took); }
    // What a fetch takes another node, as it says.
    void on_told(NodeId by, Duration hand_over);
    // What it takes this one to get a page, or a part of what it takes to let one go if that is
    // longer (kHoldPerHandOver times that is as long as it takes); zero: nobody knows yet.
    Duration hand_over() const {
        return std::max(fetches_.median(), late_.median() / kHoldPerHandOver);
    }
    // What holds last now.
    Duration hold() const;

    // `claimant` faulted on a page that cannot be mapped at once: its other pages stay held.
    void on_fault(Claimant claimant, PageNumber page, Instant now);
    // start_hold: a page was obtained. Call it for each claimant whose fault on this page was read
    // since it was last mapped: the page is held until the last of them had its turn.
    void on_granted(Claimant claimant, PageNumber page, Instant now);
    // The page was taken from this node.
    void on_lost(PageNumber page);
    // `claimant` will not use its pages here (its vCPU left this node): they are let go at once.
    void on_abandoned(Claimant claimant, Instant now);

    // Earliest moment at which expired() will return something.
    std::optional<Instant> next_deadline() const;
    // Appends and forgets the pages whose hold is over.
    void expired(Instant now, std::vector<PageNumber>& pages);

  private:
    struct Burst {
        Claimant claimant;
        Instant last_granted;                // when the last of `pages` arrived
        Duration turn{};                     // what is due to it
        Instant due;                         // of the hold, unless `waits_for`
        std::optional<Duration> had_before;  // by clock_, at last_granted
        std::optional<PageNumber> waits_for;
        Instant waits_since;
        Duration patience{};            // drawn when it begins
        std::vector<PageNumber> pages;  // oldest first, each once
    };
    struct Turn {  // of a claimant with the page that it was granted last
        Claimant claimant;
        PageNumber page;
        std::optional<Duration> had_before;  // by clock_; none: it is over, or nobody knows
        Duration too_much{};                 // that it had, in all its turns with this page
    };
    Duration begin_turn(Claimant claimant, PageNumber page);
    Burst& burst_of(Claimant claimant);
    std::optional<Instant> deadline(const Burst& burst) const;
    bool had_its_turn(Burst& burst, Instant now);
    bool held(PageNumber page) const;
    void let_go(PageNumber page, Instant now);
    Duration draw_patience();

    HoldLimits limits_;
    const TurnClock* clock_ = nullptr;
    RunningMedian fetches_;
    RunningMedian late_;                      // how long after a hold expired() was called
    std::array<Duration, kMaxNodes> told_{};  // by node
    Duration most_told_{};
    std::uint64_t draws_ = 0;
    std::vector<Turn> turns_;         // one per claimant
    std::vector<Burst> bursts_;       // a handful: one per claimant that faulted recently
    std::vector<PageNumber> let_go_;  // over, and not yet told by expired()
    Instant let_go_at_;               // when the first of let_go_ was
};

}  // namespace vsmp::coherence
