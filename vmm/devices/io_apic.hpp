// Intel 82093AA I/O APIC, version 0x20 (it has the EOI register of later parts).
// Source: 82093AA datasheet (290566-001); Intel ICH9 datasheet 13.5 for the EOI register.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "proto/interrupt_words.hpp"
#include "vmm/devices/io_handler.hpp"
#include "vmm/devices/irq_line.hpp"
#include "vmm/devices/platform_map.hpp"

namespace vsmp {

// An interrupt on its way to the local APICs.
struct InterruptMessage {
    std::uint8_t vector = 0;
    DeliveryMode delivery = DeliveryMode::fixed;
    std::uint32_t destination = 0;  // APIC ID or logical set; 8 bits wide from an I/O APIC
    DestinationMode destination_mode = DestinationMode::physical;
    Trigger trigger = Trigger::edge;

    friend bool operator==(const InterruptMessage&, const InterruptMessage&) = default;
};

// Called with the device lock held; must not block and not call back into the devices.
using InterruptSink = std::function<void(const InterruptMessage&)>;

// Pure state machine; threads as IoHandler.
class IoApic final : public IoHandler {
  public:
    explicit IoApic(InterruptSink sink) : sink_(std::move(sink)) {}

    void read(std::uint64_t offset, std::span<std::byte> out) override;
    void write(std::uint64_t offset, ByteView data) override;

    // A level-triggered pin sends once when it is high and unmasked, and again after each EOI
    // while it stays high. An edge-triggered pin sends on low -> high; an edge that comes while
    // the pin is masked is lost, as on the chip.
    void set_pin(unsigned pin, Level level);

    // A local APIC broadcast the EOI of a level-triggered vector.
    void end_of_interrupt(std::uint8_t vector);

  private:
    std::uint32_t read_register(std::uint8_t index) const;
    void write_register(std::uint8_t index, std::uint32_t value);
    void send_if_due(unsigned pin);
    void send(unsigned pin);

    InterruptSink sink_;
    std::array<std::uint64_t, platform::kIoApicPins> redirection_ = masked_table();
    std::array<Level, platform::kIoApicPins> pins_{};
    std::uint8_t selected_ = 0;
    std::uint8_t id_ = 0;

    static constexpr std::array<std::uint64_t, platform::kIoApicPins> masked_table() {
        std::array<std::uint64_t, platform::kIoApicPins> table{};
        table.fill(1u << 16);
        return table;
    }
};

}  // namespace vsmp
