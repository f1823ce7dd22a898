// Flat segments and the control registers of 64-bit mode, for both boot protocols.
#pragma once

#include "vmm/boot/boot_state.hpp"

namespace vsmp::boot {

inline constexpr std::uint64_t kCr0LongMode = 0x80050033;  // PG AM WP NE ET MP PE
inline constexpr std::uint64_t kCr4Pae = 0x20, kCr4Fxsr = 0x600, kCr4Osxsave = 0x40000;
inline constexpr std::uint64_t kEferLongMode = 0x500;  // LME LMA
inline constexpr std::uint64_t kEferSyscall = 0x001, kEferNoExecute = 0x800;

// Descriptors with the accessed bit preset: loading them writes nothing.
inline constexpr std::uint64_t kKernelCodeDescriptor = 0x00af'9b00'0000'ffff;
inline constexpr std::uint64_t kKernelDataDescriptor = 0x00cf'9300'0000'ffff;
inline constexpr std::uint64_t kUserCodeDescriptor = 0x00af'fb00'0000'ffff;
inline constexpr std::uint64_t kUserDataDescriptor = 0x00cf'f300'0000'ffff;

// Access rights of the same segments, for the privilege level that the selector asks for.
constexpr std::uint16_t rights_for(std::uint16_t selector, unsigned rights) {
    return static_cast<std::uint16_t>(rights | (selector & 3u) << 5);
}
constexpr Segment code64(std::uint16_t selector) {
    return {0, 0xffff'ffff, selector, rights_for(selector, 0xa09b)};  // G L P S, execute and read
}
constexpr Segment flat_data(std::uint16_t selector) {
    return {0, 0xffff'ffff, selector, rights_for(selector, 0xc093)};  // G D/B P S, read and write
}
constexpr Segment busy_tss(std::uint16_t selector, std::uint64_t base, std::uint32_t limit) {
    return {base, limit, selector, 0x008b};  // P, busy 64-bit TSS
}

}  // namespace vsmp::boot
