// 8254 interval timer with port 0x61, as a PC wires them: channel 0 to IRQ 0, channel 2 to the
// speaker gate. Source: Intel 8254 datasheet; Intel ICH9 datasheet 13.7.1 (NMI_SC, port 0x61).
#pragma once

#include <array>
#include <functional>
#include <optional>

#include "vmm/devices/byte_device.hpp"
#include "vmm/devices/pit_channel.hpp"

namespace vsmp {

// Ports 0x40 to 0x43. Threads as IoHandler.
class Pit final : public ByteDevice {
  public:
    Pit(std::function<Instant()> now, IrqLine irq0);

    // Port 0x61. Bit 0: gate of channel 2, bit 1: speaker, bit 4: refresh toggle, bit 5: OUT2.
    std::uint8_t read_port_b();
    void write_port_b(std::uint8_t value);

    // When channel 0 raises IRQ 0 next. Periods that passed unnoticed make one interrupt, not many.
    std::optional<Instant> next_deadline() const { return channels_[0].next_rise(); }
    void expire(Instant now);

  protected:
    std::uint8_t read_byte(std::uint64_t offset) override;
    void write_byte(std::uint64_t offset, std::uint8_t value) override;

  private:
    void write_control(std::uint8_t word);

    std::function<Instant()> now_;
    IrqLine irq0_;
    std::array<PitChannel, 3> channels_;
    std::uint8_t port_b_ = 0;
    std::uint8_t refresh_ = 0;
};

class PortB final : public ByteDevice {
  public:
    explicit PortB(Pit& pit) : pit_(pit) {}

  protected:
    std::uint8_t read_byte(std::uint64_t) override { return pit_.read_port_b(); }
    void write_byte(std::uint64_t, std::uint8_t value) override { pit_.write_port_b(value); }

  private:
    Pit& pit_;
};

}  // namespace vsmp
