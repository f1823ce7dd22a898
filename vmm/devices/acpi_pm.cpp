#include "vmm/devices/acpi_pm.hpp"

#include "vmm/devices/platform_map.hpp"

namespace vsmp {
namespace {

constexpr std::uint64_t kStatus = 0, kEnable = 2, kControl = 4, kReserved = 6, kTimer = 8;

constexpr std::uint16_t kPowerButton = 1u << 8;  // status and enable
constexpr std::uint16_t kSciEnabled = 1u << 0;
constexpr std::uint16_t kSleepEnable = 1u << 13;
constexpr unsigned kSleepTypeShift = 10;

std::uint8_t byte_of(std::uint32_t value, std::uint64_t index) {
    return static_cast<std::uint8_t>(value >> (8 * index));
}

void set_byte(std::uint16_t& value, std::uint64_t index, std::uint8_t byte) {
    const unsigned shift = static_cast<unsigned>(8 * index);
    value = static_cast<std::uint16_t>((value & ~(0xffu << shift)) | unsigned{byte} << shift);
}

}  // namespace

AcpiPm::AcpiPm(Hooks hooks)
    : hooks_(std::move(hooks)), epoch_(hooks_.now()), timer_rate_(platform::kPmTimerHz) {}

void AcpiPm::read(std::uint64_t offset, std::span<std::byte> out) {
    // Sampled once, so that the bytes of one access belong together.
    const auto timer = static_cast<std::uint32_t>(timer_rate_.ticks(hooks_.now() - epoch_));
    for (std::byte& b : out) b = std::byte{read_byte(offset++, timer)};
}

std::uint8_t AcpiPm::read_byte(std::uint64_t offset, std::uint32_t timer) const {
    if (offset < kEnable) return byte_of(status_, offset - kStatus);
    if (offset < kControl) return byte_of(enable_, offset - kEnable);
    if (offset < kReserved) return byte_of(control_ | kSciEnabled, offset - kControl);
    if (offset < kTimer) return 0;
    return byte_of(timer, offset - kTimer);
}

void AcpiPm::write(std::uint64_t offset, ByteView data) {
    std::uint16_t control = control_;
    bool control_written = false;
    for (std::byte b : data) {
        const auto value = std::to_integer<std::uint8_t>(b);
        if (offset < kEnable) {  // write one to clear
            status_ &= static_cast<std::uint16_t>(~(unsigned{value} << (8 * (offset - kStatus))));
        } else if (offset < kControl) {
            set_byte(enable_, offset - kEnable, value);
        } else if (offset < kReserved) {
            set_byte(control, offset - kControl, value);
            control_written = true;
        }
        ++offset;
    }
    if (control_written) write_control(control);
    update_sci();
}

void AcpiPm::write_control(std::uint16_t value) {
    control_ = value & static_cast<std::uint16_t>(~kSleepEnable);  // SLP_EN reads as 0
    if ((value & kSleepEnable) == 0) return;
    if (((value >> kSleepTypeShift) & 7) == platform::kS5SleepType) hooks_.power_off();
}

void AcpiPm::press_power_button() {
    status_ |= kPowerButton;
    update_sci();
}

void AcpiPm::update_sci() {
    hooks_.sci((status_ & enable_ & kPowerButton) != 0 ? Level::high : Level::low);
}

}  // namespace vsmp
