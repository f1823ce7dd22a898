// Conversion between time and the ticks of a fixed-frequency counter, without drift.
#pragma once

#include <cstdint>

#include "proto/time.hpp"

namespace vsmp {

class TickRate {
  public:
    constexpr explicit TickRate(std::uint64_t hertz) : hertz_(hertz) {}

    // Whole ticks that fit into `elapsed`; requires elapsed >= 0.
    constexpr std::uint64_t ticks(Duration elapsed) const {
        const auto ns = static_cast<unsigned __int128>(elapsed.count());
        return static_cast<std::uint64_t>(ns * hertz_ / kNanoseconds);
    }
    // The shortest time after which `ticks` have passed.
    constexpr Duration duration(std::uint64_t ticks) const {
        const auto scaled = static_cast<unsigned __int128>(ticks) * kNanoseconds;
        return Duration{static_cast<Duration::rep>((scaled + hertz_ - 1) / hertz_)};
    }

  private:
    static constexpr std::uint64_t kNanoseconds = 1'000'000'000;
    std::uint64_t hertz_;
};

}  // namespace vsmp
