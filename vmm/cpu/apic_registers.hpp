// Private to vmm/cpu: offsets and bits of the local APIC's registers, SDM vol. 3A table 10-1.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vsmp::cpu::reg {

inline constexpr std::uint32_t kId = 0x020, kVersion = 0x030;
inline constexpr std::uint32_t kTpr = 0x080, kApr = 0x090, kPpr = 0x0a0, kEoi = 0x0b0;
inline constexpr std::uint32_t kLdr = 0x0d0, kDfr = 0x0e0, kSpurious = 0x0f0;
inline constexpr std::uint32_t kIsr = 0x100, kTmr = 0x180, kIrr = 0x200;  // eight each, 16 apart
inline constexpr std::uint32_t kErrorStatus = 0x280;
inline constexpr std::uint32_t kIcrLow = 0x300, kIcrHigh = 0x310;
inline constexpr std::uint32_t kLvtTimer = 0x320, kLvtThermal = 0x330, kLvtPerformance = 0x340,
                               kLvtLint0 = 0x350, kLvtLint1 = 0x360, kLvtError = 0x370;
inline constexpr std::uint32_t kInitialCount = 0x380, kCurrentCount = 0x390;
inline constexpr std::uint32_t kDivideConfiguration = 0x3e0;
inline constexpr std::uint32_t kSelfIpi = 0x3f0;  // x2APIC only

// Version 0x14 (integrated APIC), six LVT entries, no EOI-broadcast suppression (10.4.8).
inline constexpr std::uint32_t kVersionValue = 0x14 | 5 << 16;

inline constexpr std::uint32_t kSpuriousEnable = 1 << 8;
inline constexpr std::uint32_t kSpuriousMask = 0x1ff;  // vector, software enable; bit 9 reads 0
inline constexpr std::uint32_t kLvtMasked = 1 << 16;
// Delivery status and remote IRR: writes to them are ignored, also where reserved bits fault.
inline constexpr std::uint32_t kLvtReadOnly = 1 << 12 | 1 << 14;
inline constexpr std::uint32_t kTimerModeShift = 17, kTimerModeMask = 3u << kTimerModeShift;

// 10.5.3
inline constexpr std::uint32_t kSendIllegalVector = 1 << 5, kReceiveIllegalVector = 1 << 6,
                               kIllegalRegister = 1 << 7;

inline constexpr std::uint64_t kBaseBootstrap = 1 << 8, kBaseX2apic = 1 << 10,
                               kBaseEnable = 1 << 11;

// Interrupt command register, 10.6.1.
inline constexpr std::uint64_t kIcrLogical = 1 << 11, kIcrAssert = 1 << 14, kIcrLevel = 1 << 15;
// Delivery status (12) reads 0: messages leave at once. 13, 16, 17, 20..31 are reserved.
inline constexpr std::uint64_t kIcrLowMask = 0x000ccfff;

// Local vector table, 10.5.1.
constexpr std::size_t lvt_index(std::uint32_t offset) {
    return (offset - kLvtTimer) >> 4;
}

// Bits that software may set; delivery status and remote IRR read 0 here.
constexpr std::uint32_t lvt_writable(std::size_t index) {
    constexpr std::uint32_t kMasks[] = {
        0x000700ff,              // timer: vector, mask, mode
        0x000107ff, 0x000107ff,  // thermal, performance: + delivery mode
        0x0001a7ff, 0x0001a7ff,  // LINT0, LINT1: + polarity, trigger
        0x000100ff,              // error
    };
    return kMasks[index];
}

}  // namespace vsmp::cpu::reg
