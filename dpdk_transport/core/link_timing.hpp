// Times and bounds of a link; the defaults suit both a busy-polled port (round trips of 10 us) and
// nodes inside emulated machines (2 to 10 ms, stalls of 100 ms).
#pragma once

#include <cstddef>

#include "proto/time.hpp"

namespace vsmp::fabric {

struct LinkTiming {
    Duration hello_interval = std::chrono::milliseconds(20);  // while connecting
    // A peer that has not answered for so long is lost. Zero: wait for ever.
    Duration connect_timeout = std::chrono::seconds(60);
    // Retransmission timeouts; round_trip.hpp. No shorter than rto_floor at first, which moves
    // between rto_min and rto_floor_max with what timeouts turn out to have been good for.
    Duration rto_initial = std::chrono::milliseconds(100);
    Duration rto_min = std::chrono::microseconds(100);
    Duration rto_floor = std::chrono::milliseconds(2);
    Duration rto_floor_max = std::chrono::milliseconds(16);
    Duration rto_max = std::chrono::milliseconds(500);
    // Longest wait of an acknowledgement for data to ride on. A frame of its own wakes the peer for
    // nothing, in the middle of what it was doing with the data.
    Duration ack_delay = std::chrono::milliseconds(1);
    // Silence while something is unacknowledged, after which an up peer is lost.
    Duration peer_timeout = std::chrono::seconds(15);
    // Silence of one path, after which what is unacknowledged goes over the others.
    Duration failover_after = std::chrono::milliseconds(20);
    // Between the first probes of a path; doubles up to probe_interval_max.
    Duration probe_interval = std::chrono::milliseconds(20);
    Duration probe_interval_max = std::chrono::milliseconds(200);

    // Frames in flight to one peer; flight_near while they come there and their answers back within
    // `near`: then what is urgent does not wait for long behind them.
    std::size_t flight = 64;
    std::size_t flight_near = 192;
    Duration near = std::chrono::microseconds(80);
    // Sequences from the oldest that is missing on: frames that wait for it at the receiver are not
    // in flight any more, and others go on. A power of two, at most kSelectiveReach: what arrived
    // beyond that could not be told.
    std::size_t window = 256;
    std::size_t high_water = 128;    // messages waiting beyond which the link is congested
    std::size_t queue_limit = 8192;  // messages waiting beyond which the link is given up
};

}  // namespace vsmp::fabric
