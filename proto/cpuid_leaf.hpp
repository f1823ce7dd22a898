// CPUID as values: what a host offers and what a guest is shown.
#pragma once

#include <cstdint>

namespace vsmp {

// One CPUID leaf (SDM vol. 2A, CPUID; APM vol. 3, appendix E).
struct CpuidLeaf {
    std::uint32_t function = 0, index = 0, flags = 0;  // flags as in struct kvm_cpuid_entry2
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;

    friend bool operator==(const CpuidLeaf&, const CpuidLeaf&) = default;
};

}  // namespace vsmp
