// Round trips and streams over a Wire. Both ends call the same function; end 0 has the clock, end 1
// answers or receives.
#pragma once

#include <vector>

#include "dpdk_transport/bench/meeting.hpp"
#include "dpdk_transport/bench/wire.hpp"

namespace vsmp::fabric {

inline constexpr Duration kNeverSleep = Duration::max();

struct RoundTripJob {
    std::size_t size = 0;  // of a message, 16 bytes at least; answered with as many
    std::size_t rounds = 0;
    std::size_t warm_up = 0;      // rounds before, which do not count
    Duration interval{};          // asleep between rounds
    Duration spin = kNeverSleep;  // polled for so long, then slept on
};
// At end 0: one duration per round, in order; a round whose message was lost does not count.
// At end 1: empty.
Result<std::vector<Duration>> round_trips(Wire& wire, Meeting& meeting, const RoundTripJob& job);

struct StreamJob {
    std::size_t size = 0;
    Duration duration{};
    // Of a lossy wire: how far the sender may be ahead of what it is told (through the Meeting) has
    // arrived, so that no ring overflows. What a bare port would do with ideal flow control.
    std::size_t ahead = 192;
};
struct StreamResult {
    std::vector<Duration> chunks;  // time from each kChunk-th message to the next
    std::uint64_t messages = 0, lost = 0;
    Duration cpu{};  // of both ends' threads together
};
// Messages; more than any window, so that a chunk cannot have been waiting as a whole.
inline constexpr std::size_t kChunk = 512;
// At end 0 the result; at end 1 nothing of use.
Result<StreamResult> stream(Wire& wire, Meeting& meeting, const StreamJob& job);

// Polls until nothing is under way; to be called at both ends.
Result<> settle(Wire& wire, Meeting& meeting);

}  // namespace vsmp::fabric
