// How many pages a bare port moves in a second, in as large frames as it takes: what the fabric and
// all above it cannot exceed. Both ends call the same function at the same time.
#pragma once

#include <span>

#include "dpdk_transport/bench/meeting.hpp"
#include "dpdk_transport/port.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::bench {

enum class Direction : std::uint8_t {
    one_way,    // pages go from end 0 to end 1
    both_ways,  // each page that arrives at end 1 is answered with one
};

struct RawPagesJob {
    Direction direction{};
    std::size_t pages_per_frame = 1;
    std::uint64_t pages = 0;  // to end 1
    // Pages are taken from here, one behind the other and from the start again, and those that come
    // are stored likewise. Empty: the same page is sent again and again, and nothing is stored.
    std::span<std::byte> memory;
};

// At end 0 how long it took; at end 1 nothing of use. Frames in flight are bounded as they are in
// the product; what the port loses is sent anew when nothing has come for a while.
Result<Duration> move_raw_pages(fabric::Port& port, fabric::Meeting& meeting,
                                const RawPagesJob& job);

}  // namespace vsmp::bench
