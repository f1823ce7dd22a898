// One run of the product for bench_fault: vsmp-run with two local nodes and the micro-guest
// "faults", whose vCPU is shipped to node 1, measures, and is then shipped to and fro.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "proto/result.hpp"
#include "test/bench/port_kind.hpp"

namespace vsmp::bench {

enum class Touch : std::uint8_t { local, read_fetch, upgrade, write_fetch, zero_fetch, mapped };
inline constexpr std::size_t kTouchKinds = 6;

struct FaultRun {
    PortKind port = PortKind::veth;
    unsigned touches = 200;            // of each kind, at most 512
    std::uint64_t interval_ticks = 0;  // between touches
    unsigned ships = 20;
    std::string name;          // of the guest, unique on this machine
    std::string folder;        // for its files; exists
    std::string node_program;  // empty: vsmp-node of this build
};

struct FaultSamples {
    std::array<std::vector<double>, kTouchKinds> touch_ticks;  // index = Touch
    std::vector<double> ship_us;                               // stopped there to running here
    std::uint64_t ship_frame_bytes_max = 0;
    std::uint64_t fetches = 0;  // by the nodes' own counters

    const std::vector<double>& ticks(Touch kind) const {
        return touch_ticks[static_cast<std::size_t>(kind)];
    }
};

// Takes seconds. Errors tell what vsmp-run said.
Result<FaultSamples> run_faults(const FaultRun& run);

}  // namespace vsmp::bench
