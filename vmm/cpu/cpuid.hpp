// What CPUID tells the guest: the same features on every node, a topology of our own, and nothing
// that ties it to one host. Pure. Sources: SDM vol. 2A (CPUID), APM vol. 3 appendix E,
// Documentation/virt/kvm/x86/cpuid.rst.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/cpuid_leaf.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp::cpu {

// Says in a host's leaves (KVM_GET_SUPPORTED_CPUID) whether guests can have TSC-deadline timers
// there: KVM knows whether it could, not whether we can (kvm_glue/deadline_msr.hpp).
enum class DeadlineTimers : std::uint8_t { absent, present };
void set_deadline_timers(std::span<CpuidLeaf> leaves, DeadlineTimers timers);

// The features that all hosts offer. What only describes (family, name, caches) is the first
// host's. Hosts of different vendors are an error.
Result<std::vector<CpuidLeaf>> intersect(std::span<const std::vector<CpuidLeaf>> hosts);

struct CpuidShape {
    std::uint16_t vcpu_count = 1;
    std::uint64_t tsc_khz = 0;  // 0: not told to the guest
};

// For one vCPU, from the common leaves: one socket of single-thread cores, x2APIC, invariant TSC;
// hypervisor leaves of KVM with no paravirtual feature that assumes one host; without nested
// virtualisation, PMU, MONITOR/MWAIT, AMX, CET and whatever else has state that does not travel.
std::vector<CpuidLeaf> guest_cpuid(std::span<const CpuidLeaf> common, VcpuId vcpu,
                                   const CpuidShape& shape);

const CpuidLeaf* find_leaf(std::span<const CpuidLeaf> leaves, std::uint32_t function,
                           std::uint32_t index = 0);

}  // namespace vsmp::cpu
