// CMOS real-time clock. Source: Motorola MC146818A datasheet; century byte where the FADT says.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "vmm/devices/byte_device.hpp"
#include "vmm/devices/wall_time.hpp"

namespace vsmp {

// Ports 0x70 and 0x71. Follows the injected wall clock, plus what the guest has set. Alarm, update
// and periodic interrupts are not modelled: their enable bits read back, no IRQ comes. The update
// in progress bit is never set, so a reader compares two readings, as drivers do.
// Threads as IoHandler.
class Rtc final : public ByteDevice {
  public:
    explicit Rtc(std::function<WallTime()> wall_clock);

  protected:
    std::uint8_t read_byte(std::uint64_t offset) override;
    void write_byte(std::uint64_t offset, std::uint8_t value) override;

  private:
    bool binary() const;
    bool hours24() const;
    bool setting() const;
    std::uint8_t encode(unsigned value) const;
    unsigned decode(std::uint8_t value) const;
    std::uint8_t encode_hour(unsigned hour) const;
    unsigned decode_hour(std::uint8_t value) const;
    void show(WallTime time);
    void adopt_shown_time();
    void write_register_b(std::uint8_t value);

    std::function<WallTime()> wall_clock_;
    std::chrono::seconds guest_offset_{0};
    std::array<std::uint8_t, 128> cells_{};
    std::uint8_t index_ = 0;
};

}  // namespace vsmp
