// x86 segment registers and descriptor table registers, free of KVM's types.
// Sources: SDM vol. 3A 3.4.5 (descriptors), vol. 3C 25.4.1 (access rights).
#pragma once

#include <cstdint>

namespace vsmp {

// Access rights as in a VMCS (type, S, DPL, P in bits 0-7, AVL, L, D/B, G in 12-15), but with
// "unusable" in bit 8 so that they fit 16 bits.
inline constexpr std::uint16_t kSegmentUnusable = 1 << 8;
inline constexpr std::uint16_t kSegmentRightsMask = 0xf1ff;

struct Segment {
    std::uint64_t base = 0;
    std::uint32_t limit = 0;
    std::uint16_t selector = 0;
    std::uint16_t rights = 0;
    friend bool operator==(const Segment&, const Segment&) = default;
};

struct DescriptorTable {
    std::uint64_t base = 0;
    std::uint16_t limit = 0;
    friend bool operator==(const DescriptorTable&, const DescriptorTable&) = default;
};

}  // namespace vsmp
