#include "vmm/node/boot_registers.hpp"

#include "kvm_glue/segment.hpp"

namespace vsmp {

using kvm::to_kvm;

cpu::BootStart to_boot_start(const boot::BootState& state) {
    cpu::BootStart start;
    start.regs.rip = state.rip;
    start.regs.rsp = state.rsp;
    start.regs.rflags = state.rflags;
    start.regs.rcx = state.rcx;
    start.regs.rdx = state.rdx;
    start.regs.rsi = state.rsi;
    start.regs.rdi = state.rdi;

    kvm_sregs& s = start.sregs;
    s.cs = to_kvm(state.cs);
    s.ds = to_kvm(state.ds);
    s.es = to_kvm(state.es);
    s.fs = to_kvm(state.fs);
    s.gs = to_kvm(state.gs);
    s.ss = to_kvm(state.ss);
    s.tr = to_kvm(state.tr);
    s.ldt = to_kvm(state.ldt);
    s.gdt = to_kvm(state.gdt);
    s.idt = to_kvm(state.idt);
    s.cr0 = state.cr0;
    s.cr3 = state.cr3;
    s.cr4 = state.cr4;
    s.efer = state.efer;
    s.apic_base = state.apic_base;
    start.xcr0 = state.xcr0;
    return start;
}

}  // namespace vsmp
