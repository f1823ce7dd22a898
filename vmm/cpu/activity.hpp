#pragma once

#include <cstdint>

namespace vsmp::cpu {

// Where a vCPU stands on a node.
enum class Activity : std::uint8_t {
    parked,  // not here, or captured and not gone yet
    wait_for_sipi,
    running,
    halted,
    ended,  // shut down or failed
};

}  // namespace vsmp::cpu
