// One counter of an 8254. Source: Intel 8254 datasheet (231164-005), "Mode Definitions".
#pragma once

#include <cstdint>
#include <optional>

#include "proto/time.hpp"
#include "vmm/devices/irq_line.hpp"
#include "vmm/devices/platform_map.hpp"
#include "vmm/devices/tick_rate.hpp"

namespace vsmp {

// Count and output are functions of the time since the count was loaded; nothing ticks. Not
// modelled: BCD counting, and a new count in modes 2 and 3 starts a new period at once.
class PitChannel {
  public:
    enum class Mode : std::uint8_t {
        terminal_count = 0,
        one_shot = 1,
        rate = 2,
        square_wave = 3,
        software_strobe = 4,
        hardware_strobe = 5,
    };

    // Control word of the datasheet, already for this channel; a latch command (access bits 0)
    // latches the count.
    void write_control(std::uint8_t word, Instant now);
    void write_count(std::uint8_t value, Instant now);
    std::uint8_t read(Instant now);
    void latch_count(Instant now);
    void latch_status(Instant now);

    // Level of the GATE pin.
    void set_gate(Level level, Instant now);
    Level out(Instant now) const;

    // When OUT rises next (and again with every period), counted from the last taken rise.
    std::optional<Instant> next_rise() const;
    // Forgets all rises up to `now`, and says whether there were any.
    enum class Rises : std::uint8_t { none, some };
    Rises take_rises(Instant now);

  private:
    enum class Access : std::uint8_t { latch = 0, low = 1, high = 2, low_then_high = 3 };
    enum class Half : std::uint8_t { low, high };

    bool counting() const { return started_.has_value(); }
    bool periodic() const { return mode_ == Mode::rate || mode_ == Mode::square_wave; }
    bool gate_triggers() const { return mode_ == Mode::one_shot || mode_ == Mode::hardware_strobe; }
    std::uint64_t period() const { return reload_ == 0 ? 0x10000 : reload_; }
    std::uint64_t elapsed(Instant now) const;
    std::uint16_t count(Instant now) const;
    std::uint8_t next_half(Half& half, std::uint16_t value) const;
    void load(std::uint16_t value, Instant now);
    void restart(Instant now);

    static constexpr TickRate kRate{platform::kPitHz};

    Mode mode_ = Mode::terminal_count;
    Access access_ = Access::low_then_high;
    std::uint8_t control_ = 0x30;
    std::uint16_t reload_ = 0;
    Level gate_ = Level::high;
    std::optional<Instant> started_;  // counting since; empty: not loaded, or paused by the gate
    std::uint64_t ticks_before_ = 0;  // counted before started_
    std::uint64_t rises_taken_ = 0;
    Half write_half_ = Half::low, read_half_ = Half::low, latch_half_ = Half::low;
    std::uint8_t written_low_ = 0;
    std::optional<std::uint16_t> latched_count_;
    std::optional<std::uint8_t> latched_status_;
    bool loaded_ = false;
};

}  // namespace vsmp
