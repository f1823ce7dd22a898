// What a run needed, put together from the traces of its nodes.
#pragma once

#include <span>
#include <vector>

#include "locality_ml/trace.hpp"

namespace vsmp::locality {

struct Need {
    PageNumber page;
    Access access{};
    NodeId at;        // where the vCPU was
    NodeId location;  // where the page was
    CodeAddress code;
    Duration ran{};  // before it, since the one before was met; without what it was idle
    Instant when;
    std::size_t loads = 0;  // RecordedRun::loads at that time
};

struct RecordedVcpu {
    NodeId start;
    std::vector<Need> needs;
    Duration tail{};  // run after the last need
    std::size_t tail_loads = 0;
    NodeId end;                     // where that was
    std::uint64_t fetches = 0;      // that came to an end
    std::vector<Instant> arrivals;  // by ship
};

// Fitted from the traces; the defaults hold where they show none.
struct CostModel {
    Duration fetch = std::chrono::microseconds(150);
    Duration ship = std::chrono::microseconds(250);
    double stall_away = 0.3;               // share of the time that a vCPU waits right after a ship
    std::uint64_t fetches = 0, ships = 0;  // that it is fitted from
};

struct RecordedRun {
    PolicySetup setup;  // of any node
    std::vector<RecordedVcpu> vcpus;
    std::vector<std::vector<NodeLoad>> loads;  // as nodes were told, by node; the first: not told
    CostModel costs;
    Duration length{};

    // What a vCPU ran at `at`, with these loads, takes so many times as long on `there`, where it
    // shares the CPUs with who was there.
    double crowding(std::size_t loads_index, NodeId at, NodeId there) const;
    // Of one vCPU, in any second.
    std::uint64_t most_ships_in_a_second() const;
};

// The traces of all nodes of one run, whose clocks agree (nodes of one host).
Result<RecordedRun> read_run(std::span<const ByteView> traces);

}  // namespace vsmp::locality
