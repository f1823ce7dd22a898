// Retransmission timeout from measured round trips: RFC 6298, with two changes of RFC 9002. What
// the peer says it held its acknowledgement back for is not part of the round trip (5.3), and the
// longest it may do so is part of the timeout (6.2.1).
#pragma once

#include <algorithm>

#include "dpdk_transport/core/link_timing.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

class RoundTrip {
  public:
    explicit RoundTrip(const LinkTiming& timing)
        : floor_(timing.rto_min),
          ceiling_(timing.rto_max),
          ack_delay_(timing.ack_delay),
          base_(timing.rto_initial) {}

    // Only of frames sent once: an acknowledgement of a retransmitted one is ambiguous (Karn).
    void sample(Duration elapsed, Duration held_back) {
        const Duration round_trip = elapsed > held_back ? elapsed - held_back : elapsed;
        if (smoothed_ == Duration::zero()) {
            smoothed_ = round_trip;
            variation_ = round_trip / 2;
            shortest_ = round_trip;
        } else {
            const Duration error = std::chrono::abs(smoothed_ - round_trip);
            variation_ = (3 * variation_ + error) / 4;
            smoothed_ = (7 * smoothed_ + round_trip) / 8;
            shortest_ = std::min(shortest_, round_trip);
        }
        base_ = smoothed_ + 4 * variation_ + ack_delay_;
    }
    // A timeout fired: the next waits twice as long.
    void back_off() { backed_off_ = std::min(2 * timeout(), ceiling_); }
    // Something new was acknowledged.
    void progress() { backed_off_ = Duration::zero(); }

    Duration timeout() const { return std::max(backed_off_, std::clamp(base_, floor_, ceiling_)); }
    // Zero until the first sample.
    Duration smoothed() const { return smoothed_; }
    Duration shortest() const { return shortest_; }

  private:
    Duration floor_, ceiling_, ack_delay_;
    Duration base_;
    Duration backed_off_{};
    Duration smoothed_{}, variation_{}, shortest_{};
};

}  // namespace vsmp::fabric
