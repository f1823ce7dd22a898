// Retransmission timeout of a path from measured round trips: RFC 6298, with changes of RFC 9002
// and RFC 8985. What the peer says it held its acknowledgement back for is not part of the round
// trip (9002, 5.3), and the longest it may do so is part of the timeout (9002, 6.2.1) unless it was
// asked to answer at once. A timeout makes a probe (8985, 7), after two round trips at the
// earliest.
//
// How soon depends on what earlier probes were good for. On a wire that loses frames the floor goes
// down with each that was needed; where the peer was merely off its CPU, for longer than round
// trips tell, it goes up.
#pragma once

#include <algorithm>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/link_timing.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

class RoundTrip {
  public:
    explicit RoundTrip(const LinkTiming& timing)
        : lowest_floor_(timing.rto_min),
          highest_floor_(timing.rto_floor_max),
          floor_(timing.rto_floor),
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
        base_ = std::max(2 * smoothed_, longest());
    }
    // A timeout fired: the next waits twice as long.
    void back_off(AckUrgency asked) { backed_off_ = std::min(2 * timeout(asked), ceiling_); }
    // Something new was acknowledged.
    void progress() { backed_off_ = Duration::zero(); }
    // What a timeout sent again was missing, as far as its answer tells; it turned out later that
    // the answer to the first transmission had only been slow.
    void timeout_was_needed() { floor_ = std::max(floor_ / 2, lowest_floor_); }
    void timeout_was_needless() { floor_ = std::min(4 * floor_, highest_floor_); }

    // `asked`: what is in flight wants an answer at once.
    Duration timeout(AckUrgency asked) const {
        const Duration held_back = asked == AckUrgency::now ? Duration::zero() : ack_delay_;
        return std::max(backed_off_, std::clamp(base_ + held_back, floor_, ceiling_));
    }
    // Whether an answer so long after a transmission may well be to this one: not to one before,
    // and the peer was not off its CPU.
    bool plausible(Duration age) const { return age >= shortest_ && age <= base_ + ack_delay_; }
    // Zero until the first sample.
    Duration smoothed() const { return smoothed_; }
    Duration shortest() const { return shortest_; }

  private:
    Duration longest() const { return smoothed_ + 4 * variation_; }

    Duration lowest_floor_, highest_floor_, floor_, ceiling_, ack_delay_;
    Duration base_;
    Duration backed_off_{};
    Duration smoothed_{}, variation_{}, shortest_{};
};

}  // namespace vsmp::fabric
