// The ways in which a vCPU begins to be on this node.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <variant>

#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::cpu {

// With the registers a boot loader gives. IA32_APIC_BASE follows sregs.apic_base.
struct BootStart {
    kvm_regs regs{};
    kvm_sregs sregs{};
    std::uint64_t xcr0 = 1;
};
// An application processor after power-up: waits for INIT and SIPI.
struct WaitForSipiStart {};
// Shipped here. VcpuState::local_apic is what the runner on the other side put there.
struct ArrivalStart {
    shipper::VcpuState state;
};
// It was captured here and did not leave after all: goes on as it was.
struct ResumeStart {};

using VcpuStart = std::variant<BootStart, WaitForSipiStart, ArrivalStart, ResumeStart>;

}  // namespace vsmp::cpu
