// Which numbers of a sender were seen before (the sliding window of RFC 4303, section 3.4.3, and
// RFC 6479). Numbers may come late by up to kSize; older ones count as seen.
#pragma once

#include <bitset>
#include <cstdint>

namespace vsmp::fabric {

class ReplayWindow {
  public:
    static constexpr std::uint64_t kSize = 1024;

    bool seen(std::uint64_t number) const {
        if (number >= next_) return false;
        return next_ - number > kSize || bits_[number % kSize];
    }
    // Only of an authentic frame, else a forger could close the window.
    void add(std::uint64_t number) {
        if (number >= next_) {
            const std::uint64_t steps = number - next_ + 1;
            if (steps >= kSize) bits_.reset();
            for (std::uint64_t i = 0; i < steps && steps < kSize; ++i)
                bits_[(next_ + i) % kSize] = false;
            next_ = number + 1;
        }
        bits_[number % kSize] = true;
    }

  private:
    std::uint64_t next_ = 0;  // one more than the highest seen
    std::bitset<kSize> bits_;
};

}  // namespace vsmp::fabric
