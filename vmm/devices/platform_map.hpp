// Where the platform devices sit. The ACPI tables tell the guest the same numbers.
#pragma once

#include <cstdint>

#include "proto/ids.hpp"

namespace vsmp::platform {

inline constexpr std::uint16_t kRtcPort = 0x70;
inline constexpr std::uint16_t kPitPort = 0x40;
inline constexpr std::uint16_t kPortB = 0x61;
inline constexpr std::uint16_t kI8042Port = 0x64;
inline constexpr std::uint16_t kDebugPort = 0x80;
inline constexpr std::uint16_t kPicMasterPort = 0x20;
inline constexpr std::uint16_t kPicSlavePort = 0xa0;
inline constexpr std::uint16_t kElcrPort = 0x4d0;
inline constexpr std::uint16_t kCom1Port = 0x3f8;
inline constexpr std::uint16_t kPm1EventPort = 0x600;    // 4 bytes: status, enable
inline constexpr std::uint16_t kPm1ControlPort = 0x604;  // 2 bytes
inline constexpr std::uint16_t kPmTimerPort = 0x608;     // 4 bytes
inline constexpr std::uint16_t kResetPort = 0xcf9;
inline constexpr std::uint8_t kResetValue = 0x06;  // cold reset, as PC chipsets have it
inline constexpr std::uint8_t kS5SleepType = 5;

// Interrupt lines (ISA IRQ numbers). All go to the I/O APIC pin of the same number but IRQ 0.
inline constexpr std::uint8_t kPitIrq = 0;
inline constexpr std::uint8_t kCom1Irq = 4;
inline constexpr std::uint8_t kRtcIrq = 8;
inline constexpr std::uint8_t kSciIrq = 9;  // level, active high
inline constexpr std::uint8_t kPitPin = 2;

inline constexpr Gpa kIoApicBase{0xfec00000};
inline constexpr std::uint64_t kIoApicBytes = 0x1000;
inline constexpr unsigned kIoApicPins = 24;
inline constexpr Gpa kLocalApicBase{0xfee00000};

inline constexpr std::uint64_t kPmTimerHz = 3'579'545;
inline constexpr std::uint64_t kPitHz = 1'193'182;

}  // namespace vsmp::platform
