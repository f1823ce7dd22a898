// The registers with which a vCPU starts, free of KVM types but mapping one to one to what
// KVM_SET_REGS, KVM_SET_SREGS and KVM_SET_XCRS take.
#pragma once

#include <cstdint>

namespace vsmp::boot {

// SDM vol. 3A 3.4.5; the fields of struct kvm_segment.
struct Segment {
    std::uint64_t base = 0;
    std::uint32_t limit = 0;
    std::uint16_t selector = 0;
    std::uint8_t type = 0;
    std::uint8_t present = 0, dpl = 0, db = 0, s = 0, l = 0, g = 0, avl = 0;
    std::uint8_t unusable = 1;
};

struct DescriptorTable {
    std::uint64_t base = 0;
    std::uint16_t limit = 0;
};

// All general registers not named here are 0.
struct BootState {
    std::uint64_t rip = 0, rsp = 0, rflags = 2;
    std::uint64_t rcx = 0, rdx = 0, rsi = 0, rdi = 0;
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    std::uint64_t xcr0 = 1;       // needs KVM_SET_XCRS when CR4.OSXSAVE is set
    std::uint64_t apic_base = 0;  // IA32_APIC_BASE
    Segment cs, ds, es, fs, gs, ss, tr, ldt;
    DescriptorTable gdt, idt;
};

}  // namespace vsmp::boot
