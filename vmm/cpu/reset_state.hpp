// Processor state after INIT and at the start that a SIPI orders. Pure.
// Source: SDM vol. 3A table 9-1 (reset and INIT), 8.4 (MP initialisation).
#pragma once

#include <linux/kvm.h>

#include <cstdint>

namespace vsmp::cpu {

// `signature` is CPUID.1:EAX, which EDX holds after reset and INIT.
kvm_regs init_regs(std::uint32_t signature);
// CR0.CD and CR0.NW keep their values over INIT, and so does IA32_APIC_BASE.
kvm_sregs init_sregs(const kvm_sregs& before);
// Execution starts at page << 12 in real mode.
void start_at(std::uint8_t page, kvm_regs& regs, kvm_sregs& sregs);

}  // namespace vsmp::cpu
