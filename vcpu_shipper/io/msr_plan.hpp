// Which MSRs travel with a vCPU.
#pragma once

#include <cstdint>
#include <vector>

#include "kvm_glue/kvm.hpp"
#include "kvm_glue/vcpu.hpp"

namespace vsmp::shipper {

inline constexpr std::uint32_t kMsrTsc = 0x10;
inline constexpr std::uint32_t kMsrTscAdjust = 0x3b;

// Whether an MSR is part of what a guest's vCPU is, as far as its number tells. Not: what belongs
// to the host, what a guest cannot write, what travels elsewhere in a VcpuState (EFER, FS and GS
// base, the local APIC), counters that stay with the processor, and the time-stamp counter, which
// is the same on all nodes. IA32_TSC_ADJUST does travel (vcpu_transfer.hpp).
bool msr_travels(std::uint32_t index);

// Ascending: what KVM offers and `probe` (any vCPU whose CPUID is set) can read of those.
Result<std::vector<std::uint32_t>> choose_msrs(const kvm::Kvm& kvm, const kvm::Vcpu& probe);

}  // namespace vsmp::shipper
