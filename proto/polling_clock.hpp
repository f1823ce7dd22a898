// The time for a loop that polls without a pause. To read the clock takes about as long as to find
// that nothing has come, and who waits for what comes next waits for the reading, too. So a turn
// without work does not read it again, but for every few; the time is then late by as many turns.
#pragma once

#include "proto/monotonic_clock.hpp"

namespace vsmp {

class PollingClock {
  public:
    // The time for the turn that begins.
    Instant turn() {
        if (idle_ % kIdleTurns == 0) now_ = monotonic_now();
        ++idle_;
        return now_;
    }
    // The turn had work to do, or the thread has slept: the next one reads the clock.
    void passed() { idle_ = 0; }

  private:
    static constexpr unsigned kIdleTurns = 8;
    unsigned idle_ = 0;
    Instant now_{};
};

}  // namespace vsmp
