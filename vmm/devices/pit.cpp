#include "vmm/devices/pit.hpp"

namespace vsmp {
namespace {

constexpr std::uint64_t kControl = 3;
constexpr std::uint8_t kGate2 = 0x01, kWritablePortB = 0x0f, kRefresh = 0x10, kOut2 = 0x20;
constexpr std::uint8_t kReadBackKeepCount = 0x20, kReadBackKeepStatus = 0x10;

}  // namespace

Pit::Pit(std::function<Instant()> now, IrqLine irq0)
    : now_(std::move(now)), irq0_(std::move(irq0)) {
    channels_[2].set_gate(Level::low, now_());
}

std::uint8_t Pit::read_byte(std::uint64_t offset) {
    return offset == kControl ? 0 : channels_[offset].read(now_());
}

void Pit::write_byte(std::uint64_t offset, std::uint8_t value) {
    if (offset == kControl)
        write_control(value);
    else
        channels_[offset].write_count(value, now_());
}

void Pit::write_control(std::uint8_t word) {
    const Instant now = now_();
    const unsigned target = word >> 6;
    if (target < channels_.size()) {
        channels_[target].write_control(word, now);
        return;
    }
    for (std::size_t i = 0; i < channels_.size(); ++i) {  // read-back command
        if ((word & (2u << i)) == 0) continue;
        if ((word & kReadBackKeepCount) == 0) channels_[i].latch_count(now);
        if ((word & kReadBackKeepStatus) == 0) channels_[i].latch_status(now);
    }
}

std::uint8_t Pit::read_port_b() {
    refresh_ ^= kRefresh;  // nobody times it; waiting loops only need it to change
    const std::uint8_t out2 = channels_[2].out(now_()) == Level::high ? kOut2 : 0;
    return static_cast<std::uint8_t>(port_b_ | refresh_ | out2);
}

void Pit::write_port_b(std::uint8_t value) {
    port_b_ = value & kWritablePortB;
    channels_[2].set_gate((value & kGate2) != 0 ? Level::high : Level::low, now_());
}

void Pit::expire(Instant now) {
    if (channels_[0].take_rises(now) == PitChannel::Rises::some) pulse(irq0_);
}

}  // namespace vsmp
