// Which frames sent over one path are lost, by RACK (RFC 8985): what was sent before something that
// has arrived, and a little time ago. How little adapts to how far frames overtake each other.
// Times are of transmissions, so lost retransmissions are found like all others; transmissions of
// one instant (a burst) are told apart by their number.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dpdk_transport/core/round_trip.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

struct Transmission {
    std::uint64_t number = 0;  // which of its path
    Instant at{};
};

class Reordering {
  public:
    Transmission transmit(Instant now) { return {++transmissions_, now}; }
    // When the next transmission arrives and earlier ones have not, those are lost without waiting.
    void probe() { transmissions_ += kOvertakers; }

    void arrived(const Transmission& sent) { newest_ = std::max(newest_, sent.number); }
    void calm(std::uint32_t arrivals) {
        calm_ += arrivals;
        if (calm_ < kCalm) return;
        quarters_ /= 2;
        calm_ = 0;
    }
    // A frame held for lost was only late.
    void was_late() {
        quarters_ = std::min(quarters_ + 1, kMostQuarters);
        calm_ = 0;
    }

    bool overtaken(const Transmission& sent) const { return sent.number < newest_; }
    // When an overtaken one is lost. As long as frames are not seen to overtake each other, three
    // that did are enough (RFC 8985, 6.2, step 4, after RFC 5681).
    Instant lost_at(const Transmission& sent, const RoundTrip& round_trip) const {
        if (quarters_ == 0 && sent.number + kOvertakers <= newest_) return {};
        const Duration wait = std::max(quarters_, 1) * round_trip.shortest() / 4;
        return sent.at + round_trip.smoothed() + std::min(wait, round_trip.smoothed());
    }

  private:
    static constexpr std::uint64_t kOvertakers = 3;
    static constexpr int kMostQuarters = 64;
    static constexpr std::uint32_t kCalm = 4096;  // arrivals after which less is waited for

    std::uint64_t transmissions_ = 0, newest_ = 0;
    int quarters_ = 0;  // of the shortest round trip: the reordering window
    std::uint32_t calm_ = 0;
};

}  // namespace vsmp::fabric
