// The timer of a local APIC: one-shot, periodic, TSC-deadline (10.5.4). Its input clock is the
// guest's TSC, so a count of the divided clock is a number of TSC ticks. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "proto/bytes.hpp"
#include "proto/result.hpp"
#include "vmm/cpu/apic_types.hpp"

namespace vsmp::cpu {

enum class TimerMode : std::uint8_t { one_shot, periodic, tsc_deadline };
enum class TimerEvent : std::uint8_t { none, expired };

class ApicTimer {
  public:
    TimerMode mode() const { return mode_; }
    // Going to or from tsc_deadline disarms; between the others the count goes on.
    void set_mode(TimerMode mode);

    // The divide configuration register; the current count is kept.
    std::uint32_t divide_configuration() const { return divide_configuration_; }
    void set_divide_configuration(std::uint32_t value, GuestTsc now);

    // Ignored in mode tsc_deadline. 0 stops.
    std::uint32_t initial_count() const { return initial_count_; }
    void set_initial_count(std::uint32_t count, GuestTsc now);
    std::uint32_t current_count(GuestTsc now) const;

    // IA32_TSC_DEADLINE: 0 disarms; reads 0 when disarmed, and in the other modes, which ignore
    // writes.
    std::uint64_t deadline() const;
    void set_deadline(std::uint64_t tsc);

    // When take_expiry will say expired.
    std::optional<GuestTsc> expiry() const { return expiry_; }
    // Several periods that have passed are one expiry.
    TimerEvent take_expiry(GuestTsc now);

    static constexpr std::size_t kEncodedSize = 18;
    void encode(ByteWriter& to) const;
    static Result<ApicTimer> decode(ByteReader& from);

    friend bool operator==(const ApicTimer&, const ApicTimer&) = default;

  private:
    std::uint64_t divisor() const;

    TimerMode mode_ = TimerMode::one_shot;
    std::uint8_t divide_configuration_ = 0;
    std::uint32_t initial_count_ = 0;
    std::optional<GuestTsc> expiry_;
};

}  // namespace vsmp::cpu
