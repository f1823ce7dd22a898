// Private to vmm/cpu: the CPUID bits that the shaping touches.
#pragma once

#include <cstdint>

namespace vsmp::cpu::bits {

constexpr std::uint32_t bit(unsigned n) {
    return 1u << n;
}
template <class... Bits>
constexpr std::uint32_t mask(Bits... n) {
    return (0u | ... | bit(static_cast<unsigned>(n)));
}

// Leaf 1, ECX: DTES64, MONITOR, DS-CPL, VMX, SMX, EIST, TM2, CNXT-ID, xTPR, PDCM, DCA
inline constexpr std::uint32_t kLeaf1EcxHidden = mask(2, 3, 4, 5, 6, 7, 8, 10, 14, 15, 18);
inline constexpr std::uint32_t kLeaf1EcxX2apic = bit(21), kLeaf1EcxDeadline = bit(24),
                               kLeaf1EcxHypervisor = bit(31);
// Leaf 1, EDX: PSN, DS, ACPI, TM, PBE are tied to one host
inline constexpr std::uint32_t kLeaf1EdxHidden = mask(18, 21, 22, 29, 31);
inline constexpr std::uint32_t kLeaf1EdxApic = bit(9), kLeaf1EdxHtt = bit(28);

inline constexpr std::uint32_t kLeaf6EaxArat = bit(2);

// Leaf 7.0: EBX SGX, PQM, PQE, PT; ECX WAITPKG, CET_SS, TME, KL, BUS_LOCK, ENQCMD, SGX_LC, PKS
inline constexpr std::uint32_t kLeaf7EbxHidden = mask(2, 12, 15, 25);
inline constexpr std::uint32_t kLeaf7EcxHidden = mask(5, 7, 13, 23, 24, 29, 30, 31);
// EDX UINTR, HYBRID, PCONFIG, ARCH_LBR, CET_IBT, AMX_BF16, AMX_TILE, AMX_INT8
inline constexpr std::uint32_t kLeaf7EdxHidden = mask(5, 15, 18, 19, 20, 22, 24, 25);
// Leaf 7.1: EAX ARCH_PERFMON_EXT, FRED, LKGS, AMX_FP16, HRESET, LAM; EDX AMX_COMPLEX, CET_SSS
inline constexpr std::uint32_t kLeaf71EaxHidden = mask(8, 17, 18, 21, 22, 26);
inline constexpr std::uint32_t kLeaf71EdxHidden = mask(8, 13, 14, 18, 19);

// 0x80000001, ECX: SVM, IBS, SKINIT, WDT, LWP, PERFCTR_CORE, PERFCTR_NB, BPEXT, PERFTSC,
// PERFCTR_LLC, MWAITX
inline constexpr std::uint32_t kExt1EcxHidden = mask(2, 10, 12, 13, 15, 23, 24, 26, 27, 28, 29);
inline constexpr std::uint32_t kExt1EcxCmpLegacy = bit(1), kExt1EcxTopology = bit(22);

inline constexpr std::uint32_t kExt7EdxInvariantTsc = bit(8);

// Documentation/virt/kvm/x86/cpuid.rst
inline constexpr std::uint32_t kKvmFeatureNopIoDelay = bit(1);

}  // namespace vsmp::cpu::bits
