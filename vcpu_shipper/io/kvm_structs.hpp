// Between KVM's structures and ours, field by field. Pure.
#pragma once

#include <linux/kvm.h>

#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::shipper {

GeneralRegisters from_kvm(const kvm_regs& regs);
kvm_regs to_kvm(const GeneralRegisters& general);

// The interrupt bitmap that KVM keeps in kvm_sregs has its own place in a VcpuState.
SystemRegisters from_kvm(const kvm_sregs& sregs);
std::array<std::uint64_t, 4> interrupt_bitmap(const kvm_sregs& sregs);
kvm_sregs to_kvm(const SystemRegisters& system, const std::array<std::uint64_t, 4>& bitmap);

DebugRegisters from_kvm(const kvm_debugregs& registers);
kvm_debugregs to_kvm(const DebugRegisters& debug);

PendingEvents from_kvm(const kvm_vcpu_events& events);
// `known_flags`: the flags of this KVM's KVM_GET_VCPU_EVENTS, which tell what it can take. An error
// when the events need more.
Result<kvm_vcpu_events> to_kvm(const PendingEvents& events, std::uint32_t known_flags);

}  // namespace vsmp::shipper
