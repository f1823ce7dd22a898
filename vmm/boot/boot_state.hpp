// The registers with which a vCPU starts, free of KVM types but mapping one to one to what
// KVM_SET_REGS, KVM_SET_SREGS and KVM_SET_XCRS take.
#pragma once

#include <cstdint>

#include "proto/segment.hpp"

namespace vsmp::boot {

// All general registers not named here are 0.
struct BootState {
    static constexpr Segment kUnusable{.rights = kSegmentUnusable};

    std::uint64_t rip = 0, rsp = 0, rflags = 2;
    std::uint64_t rcx = 0, rdx = 0, rsi = 0, rdi = 0;
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    std::uint64_t xcr0 = 1;       // needs KVM_SET_XCRS when CR4.OSXSAVE is set
    std::uint64_t apic_base = 0;  // IA32_APIC_BASE
    Segment cs = kUnusable, ds = kUnusable, es = kUnusable, fs = kUnusable, gs = kUnusable,
            ss = kUnusable, tr = kUnusable, ldt = kUnusable;
    DescriptorTable gdt, idt;
};

}  // namespace vsmp::boot
