// What the learned policy keeps of one vCPU on one node.
#pragma once

#include <array>
#include <optional>

#include "locality_ml/learned/prefetcher.hpp"
#include "locality_ml/learned/stall_meter.hpp"
#include "locality_ml/learned/vcpu_memory.hpp"

namespace vsmp::locality {

inline constexpr float kRecentUs = 2'000;
inline constexpr float kSlowUs = 50'000;
inline constexpr float kBurstUs = 20'000;
inline constexpr float kTickUs = 10'000;
inline constexpr float kLongUs = 1e6F;

// A decision to stay, to be judged a while later.
struct PendingStay {
    Instant begun;
    float guess = 0;
    float stalled_us = 0, elapsed_us = 0;  // the record's counters when it began
    bool page_came = false;
    SituationKey key;
    Features x = Features::Zero();
};

struct Settling {
    float stalled_us = 0, elapsed_us = 0;  // the record's counters
};

struct VcpuRecord {
    explicit VcpuRecord(std::size_t nodes)
        : recent(nodes, kRecentUs),
          ticks(nodes, kTickUs),
          slow(nodes, kSlowUs),
          lately(nodes, kLongUs),
          burst(nodes, kBurstUs) {}

    VcpuMemory memory;
    StallMeter recent, ticks, slow, lately;
    StallMeter burst;  // since it began to fault after having run well
    float burst_faults = 0;
    Prefetcher prefetcher;

    Instant counted_until{};               // its time is accounted for until here
    std::optional<NodeId> awaits;          // the node whose page it waits for
    Instant runs_since{};                  // a page came, or it arrived
    std::optional<Instant> page_came;      // since then no fault, no ship
    NodeId came_from;                      // that page
    Instant wakes{};                       // after it, about
    float busy = 1;                        // see Activity
    Instant looked_at{};                   // by place(); not lately: it is elsewhere
    float stalled_us = 0, elapsed_us = 0;  // since it arrived

    std::optional<Instant> arrived;  // none: it was here from the start
    SituationKey came_by;            // of the ship that brought it; tag 0: none
    NodeId came_from_node;
    bool on_trial = false;               // to see how it is here, which is not known to be better
    std::optional<NodeId> goes_back_to;  // it turned out to be no better here
    std::optional<Settling> settling;    // in the middle of the time after which that is judged
    float share_before = 0;              // of a CPU, where it came from
    Instant stays_until{};               // not shipped before
    Instant invests_until{};             // nor before this, while all its faults are on new pages
    std::optional<Instant> leaving;      // since when it was asked to
    std::optional<PendingStay> pending_stay;

    std::array<std::uint32_t, 1024>
        seen{};            // by a page's low bits: 0, or page * 2 + 2, + 1 to write
    PageNumber previous;   // page of the fault before
    bool goes_on = false;  // this fault's is its neighbour
    float again = 0;       // 1: it had the page of this fault before
    float refaults = 0;    // share of faults on pages that it had before
    Explanation last;

    bool is_fighting() const { return refaults > 0.25F; }
};

}  // namespace vsmp::locality
