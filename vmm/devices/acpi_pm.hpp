// ACPI fixed hardware: PM1a event and control blocks and the power management timer.
// Source: ACPI 6.5, 4.8.3 (PM1 registers, PM timer) and 4.8.2.2 (power button).
#pragma once

#include <cstdint>
#include <functional>

#include "proto/time.hpp"
#include "vmm/devices/io_handler.hpp"
#include "vmm/devices/irq_line.hpp"
#include "vmm/devices/tick_rate.hpp"

namespace vsmp {

// Twelve ports from platform::kPm1EventPort: status, enable, control, (nothing), timer. ACPI mode
// is always on (SCI_EN). Threads as IoHandler.
class AcpiPm final : public IoHandler {
  public:
    static constexpr std::uint64_t kPorts = 12;
    struct Hooks {
        std::function<Instant()> now;
        IrqLine sci;
        std::function<void()> power_off;  // the guest entered S5
    };
    explicit AcpiPm(Hooks hooks);

    void read(std::uint64_t offset, std::span<std::byte> out) override;
    void write(std::uint64_t offset, ByteView data) override;

    // The guest asks itself to shut down, if it has enabled the button.
    void press_power_button();

  private:
    std::uint8_t read_byte(std::uint64_t offset, std::uint32_t timer) const;
    void write_control(std::uint16_t value);
    void update_sci();

    Hooks hooks_;
    Instant epoch_;
    TickRate timer_rate_;
    std::uint16_t status_ = 0, enable_ = 0, control_ = 0;
};

}  // namespace vsmp
