// Whether a guest can have TSC-deadline timers (SDM vol. 3A 10.5.4.1) on this host's KVM.
#pragma once

#include <cstdint>

#include "kvm_glue/kvm.hpp"

namespace vsmp::kvm {

enum class DeadlineWrites : std::uint8_t {
    ours,  // leave the guest as WrMsrExit
    lost,  // KVM takes them for its own local APIC, which our VMs don't have, and drops them
};

// Asks KVM by running a guest of three instructions. Where it has a fast path for this MSR, that
// path comes before the MSR filter and asks nobody: kvm_intel with the VMX preemption timer since
// Linux 5.8 (handle_fastpath_set_tscdeadline in arch/x86/kvm/x86.c), all of KVM in newer ones. A
// guest must then not be told of deadline timers; the local APIC's count register does as well.
Result<DeadlineWrites> find_deadline_writes(const Kvm& kvm);

}  // namespace vsmp::kvm
