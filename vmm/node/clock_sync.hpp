// One time-stamp counter for the whole guest.
//
// The guest's TSC is node 0's, and each node adds an offset to its own host's TSC to show the same
// value. Nodes of one host share a TSC and take node 0's offset exactly. Nodes of other hosts ask
// node 0 for the time over the fabric, several times, and believe the quickest answer: its error
// is at most half its round trip (Cristian's algorithm).
//
// Pure; TSC values are passed in.
#pragma once

#include <optional>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"

namespace vsmp {

struct ClockPing {
    std::uint64_t asker_tsc = 0;  // host TSC of the asker when it asked
};
struct ClockPong {
    std::uint64_t asker_tsc = 0;     // copied from the ping
    std::uint64_t guest_tsc = 0;     // node 0's guest TSC when it answered
    std::uint64_t guest_offset = 0;  // guest TSC minus host TSC on node 0 (modulo 2^64)
    std::uint64_t host_id = 0;       // equal for nodes of one running host kernel
};

// Either message, on fabric::Channel::clock: kind u8, then the fields in order.
inline constexpr std::size_t kClockMessageSize = 33;
void encode(const ClockPing& ping, ByteWriter& to);
void encode(const ClockPong& pong, ByteWriter& to);
std::optional<ClockPing> decode_clock_ping(ByteView bytes);
std::optional<ClockPong> decode_clock_pong(ByteView bytes);

class ClockEstimator {
  public:
    explicit ClockEstimator(std::uint64_t host_id) : host_id_(host_id) {}

    // `tsc`: this host's TSC when the answer arrived.
    void on_pong(const ClockPong& pong, std::uint64_t tsc);
    // Enough answers, or an exact one.
    bool settled() const { return exact_ || answers_ >= kAnswers; }
    // guest TSC = host TSC + offset (modulo 2^64).
    std::uint64_t offset() const { return offset_; }
    // Largest possible error, in TSC ticks; 0 on node 0's own host.
    std::uint64_t error_bound() const { return exact_ ? 0 : best_round_trip_ / 2; }

  private:
    static constexpr unsigned kAnswers = 32;

    std::uint64_t host_id_;
    std::uint64_t offset_ = 0;
    std::uint64_t best_round_trip_ = ~std::uint64_t{0};
    unsigned answers_ = 0;
    bool exact_ = false;
};

}  // namespace vsmp
