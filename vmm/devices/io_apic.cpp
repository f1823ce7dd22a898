#include "vmm/devices/io_apic.hpp"

#include <algorithm>

#include "proto/check.hpp"

namespace vsmp {
namespace {

constexpr std::uint64_t kSelectOffset = 0x00;
constexpr std::uint64_t kWindowOffset = 0x10;
constexpr std::uint64_t kEoiOffset = 0x40;

constexpr std::uint8_t kIdRegister = 0;
constexpr std::uint8_t kVersionRegister = 1;
constexpr std::uint8_t kArbitrationRegister = 2;
constexpr std::uint8_t kFirstRedirection = 0x10;

constexpr std::uint32_t kVersion = 0x20;

constexpr std::uint64_t kDeliveryStatus = 1u << 12;
constexpr std::uint64_t kRemoteIrr = 1u << 14;
constexpr std::uint64_t kLevelTriggered = 1u << 15;
constexpr std::uint64_t kMasked = 1u << 16;
constexpr std::uint64_t kLogical = 1u << 11;
constexpr std::uint64_t kWritable = 0xff00'0000'0001'afff;

std::uint8_t vector_of(std::uint64_t entry) {
    return static_cast<std::uint8_t>(entry);
}
DeliveryMode delivery_of(std::uint64_t entry) {
    return DeliveryMode((entry >> 8) & 7);
}

// NMI, SMI, INIT and ExtINT are not acknowledged by an EOI, whatever the trigger bit says.
bool acknowledged_by_eoi(std::uint64_t entry) {
    return (entry & kLevelTriggered) != 0 && (delivery_of(entry) == DeliveryMode::fixed ||
                                              delivery_of(entry) == DeliveryMode::lowest_priority);
}

std::uint32_t decode32(ByteView data) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(data.size(), 4); ++i)
        value |= std::to_integer<std::uint32_t>(data[i]) << (8 * i);
    return value;
}

}  // namespace

void IoApic::read(std::uint64_t offset, std::span<std::byte> out) {
    std::uint32_t value = 0;
    if (offset == kSelectOffset) value = selected_;
    if (offset == kWindowOffset) value = read_register(selected_);
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = i < 4 ? std::byte(value >> (8 * i) & 0xff) : std::byte{0};
}

void IoApic::write(std::uint64_t offset, ByteView data) {
    const std::uint32_t value = decode32(data);
    if (offset == kSelectOffset) selected_ = static_cast<std::uint8_t>(value);
    if (offset == kWindowOffset) write_register(selected_, value);
    if (offset == kEoiOffset) end_of_interrupt(static_cast<std::uint8_t>(value));
}

std::uint32_t IoApic::read_register(std::uint8_t index) const {
    if (index == kIdRegister || index == kArbitrationRegister) return std::uint32_t{id_} << 24;
    if (index == kVersionRegister) return (platform::kIoApicPins - 1) << 16 | kVersion;
    if (index < kFirstRedirection || index >= kFirstRedirection + 2 * platform::kIoApicPins)
        return 0;
    const std::uint64_t entry = redirection_[(index - kFirstRedirection) / 2];
    return static_cast<std::uint32_t>(index % 2 == 0 ? entry : entry >> 32);
}

void IoApic::write_register(std::uint8_t index, std::uint32_t value) {
    if (index == kIdRegister) id_ = (value >> 24) & 0x0f;
    if (index < kFirstRedirection || index >= kFirstRedirection + 2 * platform::kIoApicPins) return;
    const unsigned pin = (index - kFirstRedirection) / 2;
    std::uint64_t& entry = redirection_[pin];
    const std::uint64_t half = index % 2 == 0 ? 0xffff'ffffull : 0xffff'ffffull << 32;
    const std::uint64_t shifted = index % 2 == 0 ? value : std::uint64_t{value} << 32;
    entry = (entry & ~(half & kWritable)) | (shifted & half & kWritable);
    // An entry that turns edge-triggered forgets an outstanding level interrupt: operating systems
    // use this to clear a stuck remote IRR.
    if ((entry & kLevelTriggered) == 0) entry &= ~kRemoteIrr;
    if ((entry & kLevelTriggered) != 0) send_if_due(pin);
}

void IoApic::set_pin(unsigned pin, Level level) {
    VSMP_CHECK(pin < platform::kIoApicPins, "I/O APIC pin out of range");
    const bool rising = pins_[pin] == Level::low && level == Level::high;
    pins_[pin] = level;
    const std::uint64_t entry = redirection_[pin];
    if ((entry & kLevelTriggered) != 0) {
        send_if_due(pin);
    } else if (rising && (entry & kMasked) == 0) {
        send(pin);
    }
}

void IoApic::end_of_interrupt(std::uint8_t vector) {
    for (unsigned pin = 0; pin < redirection_.size(); ++pin) {
        std::uint64_t& entry = redirection_[pin];
        if ((entry & kRemoteIrr) == 0 || vector_of(entry) != vector) continue;
        entry &= ~kRemoteIrr;
        send_if_due(pin);
    }
}

void IoApic::send_if_due(unsigned pin) {
    if (pins_[pin] == Level::high && (redirection_[pin] & (kMasked | kRemoteIrr)) == 0) send(pin);
}

void IoApic::send(unsigned pin) {
    std::uint64_t& entry = redirection_[pin];
    if (acknowledged_by_eoi(entry)) entry |= kRemoteIrr;
    sink_({.vector = vector_of(entry),
           .delivery = delivery_of(entry),
           .destination = static_cast<std::uint32_t>(entry >> 56),
           .destination_mode =
               (entry & kLogical) != 0 ? DestinationMode::logical : DestinationMode::physical,
           .trigger = (entry & kLevelTriggered) != 0 ? Trigger::level : Trigger::edge});
}

}  // namespace vsmp
