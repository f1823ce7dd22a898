// What something takes as a rule: the median of the last few times. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "proto/time.hpp"

namespace vsmp::coherence {

class RunningMedian {
  public:
    static constexpr std::size_t kSamples = 31;
    static constexpr std::size_t kFewest = 8;  // that say anything

    void add(Duration took) {
        samples_[next_] = took;
        next_ = (next_ + 1) % kSamples;
        count_ = std::min(count_ + 1, kSamples);
        if (count_ < kFewest) return;
        auto sorted = samples_;
        const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(count_ / 2);
        std::nth_element(sorted.begin(), middle,
                         sorted.begin() + static_cast<std::ptrdiff_t>(count_));
        median_ = *middle;
    }
    // Zero before there are kFewest.
    Duration median() const { return median_; }

  private:
    std::array<Duration, kSamples> samples_{};
    std::size_t next_ = 0, count_ = 0;
    Duration median_{};
};

}  // namespace vsmp::coherence
