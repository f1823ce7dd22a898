#include "vcpu_shipper/io/kvm_structs.hpp"

#include <algorithm>

#include "kvm_glue/segment.hpp"

namespace vsmp::shipper {

using kvm::from_kvm;
using kvm::to_kvm;

GeneralRegisters from_kvm(const kvm_regs& r) {
    return {{r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11,
             r.r12, r.r13, r.r14, r.r15},
            r.rip,
            r.rflags};
}

kvm_regs to_kvm(const GeneralRegisters& general) {
    const auto& g = general.gpr;
    kvm_regs regs{};
    regs.rax = g[0];
    regs.rbx = g[1];
    regs.rcx = g[2];
    regs.rdx = g[3];
    regs.rsi = g[4];
    regs.rdi = g[5];
    regs.rsp = g[6];
    regs.rbp = g[7];
    regs.r8 = g[8];
    regs.r9 = g[9];
    regs.r10 = g[10];
    regs.r11 = g[11];
    regs.r12 = g[12];
    regs.r13 = g[13];
    regs.r14 = g[14];
    regs.r15 = g[15];
    regs.rip = general.rip;
    regs.rflags = general.rflags;
    return regs;
}

SystemRegisters from_kvm(const kvm_sregs& s) {
    SystemRegisters system;
    system.cs = from_kvm(s.cs);
    system.ds = from_kvm(s.ds);
    system.es = from_kvm(s.es);
    system.fs = from_kvm(s.fs);
    system.gs = from_kvm(s.gs);
    system.ss = from_kvm(s.ss);
    system.tr = from_kvm(s.tr);
    system.ldt = from_kvm(s.ldt);
    system.gdt = from_kvm(s.gdt);
    system.idt = from_kvm(s.idt);
    system.cr0 = s.cr0;
    system.cr2 = s.cr2;
    system.cr3 = s.cr3;
    system.cr4 = s.cr4;
    system.cr8 = static_cast<std::uint8_t>(s.cr8 & 0xf);
    system.efer = s.efer;
    system.apic_base = s.apic_base;
    return system;
}

std::array<std::uint64_t, 4> interrupt_bitmap(const kvm_sregs& sregs) {
    std::array<std::uint64_t, 4> bitmap{};
    std::copy_n(sregs.interrupt_bitmap, bitmap.size(), bitmap.begin());
    return bitmap;
}

kvm_sregs to_kvm(const SystemRegisters& system, const std::array<std::uint64_t, 4>& bitmap) {
    kvm_sregs s{};
    s.cs = to_kvm(system.cs);
    s.ds = to_kvm(system.ds);
    s.es = to_kvm(system.es);
    s.fs = to_kvm(system.fs);
    s.gs = to_kvm(system.gs);
    s.ss = to_kvm(system.ss);
    s.tr = to_kvm(system.tr);
    s.ldt = to_kvm(system.ldt);
    s.gdt = to_kvm(system.gdt);
    s.idt = to_kvm(system.idt);
    s.cr0 = system.cr0;
    s.cr2 = system.cr2;
    s.cr3 = system.cr3;
    s.cr4 = system.cr4;
    s.cr8 = system.cr8;
    s.efer = system.efer;
    s.apic_base = system.apic_base;
    std::ranges::copy(bitmap, s.interrupt_bitmap);
    return s;
}

DebugRegisters from_kvm(const kvm_debugregs& r) {
    return {{r.db[0], r.db[1], r.db[2], r.db[3]}, r.dr6, r.dr7};
}

kvm_debugregs to_kvm(const DebugRegisters& debug) {
    kvm_debugregs registers{};
    std::ranges::copy(debug.dr, registers.db);
    registers.dr6 = debug.dr6;
    registers.dr7 = debug.dr7;
    return registers;
}

PendingEvents from_kvm(const kvm_vcpu_events& e) {
    PendingEvents events;
    events.exception_injected = e.exception.injected != 0;
    // Without the payload capability KVM folds pending into injected, and `pending` means nothing.
    const bool payload_known = (e.flags & KVM_VCPUEVENT_VALID_PAYLOAD) != 0;
    events.exception_pending = payload_known && e.exception.pending != 0;
    if (events.exception_injected || events.exception_pending) {
        events.exception_vector = e.exception.nr;
        events.exception_has_error = e.exception.has_error_code != 0;
        if (events.exception_has_error) events.exception_error = e.exception.error_code;
        events.exception_has_payload = payload_known && e.exception_has_payload != 0;
        if (events.exception_has_payload) events.exception_payload = e.exception_payload;
    }
    events.interrupt_injected = e.interrupt.injected != 0;
    if (events.interrupt_injected) {
        events.interrupt_vector = e.interrupt.nr;
        events.interrupt_soft = e.interrupt.soft != 0;
    }
    events.shadow = e.interrupt.shadow & 3;
    events.nmi_injected = e.nmi.injected != 0;
    events.nmi_masked = e.nmi.masked != 0;
    events.nmi_pending = std::min<std::uint8_t>(e.nmi.pending, 2);
    events.triple_fault =
        (e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) != 0 && e.triple_fault.pending != 0;
    return events;
}

Result<kvm_vcpu_events> to_kvm(const PendingEvents& events, std::uint32_t known_flags) {
    const std::uint32_t flags =
        known_flags & (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                       KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
    if ((events.exception_pending || events.exception_has_payload) &&
        (flags & KVM_VCPUEVENT_VALID_PAYLOAD) == 0)
        return Error{"KVM_SET_VCPU_EVENTS: this KVM has exception payloads switched off"};
    if (events.triple_fault && (flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) == 0)
        return Error{"KVM_SET_VCPU_EVENTS: this KVM has triple fault events switched off"};
    kvm_vcpu_events e{};
    e.flags = flags;
    e.exception.injected = events.exception_injected;
    e.exception.pending = events.exception_pending;
    e.exception.nr = events.exception_vector;
    e.exception.has_error_code = events.exception_has_error;
    e.exception.error_code = events.exception_error;
    e.exception_has_payload = events.exception_has_payload;
    e.exception_payload = events.exception_payload;
    e.interrupt.injected = events.interrupt_injected;
    e.interrupt.nr = events.interrupt_vector;
    e.interrupt.soft = events.interrupt_soft;
    e.interrupt.shadow = events.shadow;
    e.nmi.injected = events.nmi_injected;
    e.nmi.masked = events.nmi_masked;
    e.nmi.pending = events.nmi_pending;
    e.triple_fault.pending = events.triple_fault;
    return e;
}

}  // namespace vsmp::shipper
