#include "vmm/cpu/reset_state.hpp"

namespace vsmp::cpu {
namespace {

constexpr std::uint64_t kCr0CacheBits = 0x60000000;  // CD, NW
constexpr std::uint64_t kCr0ExtensionType = 0x10;

kvm_segment real_mode_segment(std::uint8_t type) {
    kvm_segment segment{};
    segment.limit = 0xffff;
    segment.type = type;
    segment.present = 1;
    segment.s = 1;
    return segment;
}

kvm_segment system_segment(std::uint8_t type) {
    kvm_segment segment = real_mode_segment(type);
    segment.s = 0;
    return segment;
}

}  // namespace

kvm_regs init_regs(std::uint32_t signature) {
    kvm_regs regs{};
    regs.rip = 0xfff0;
    regs.rflags = 2;
    regs.rdx = signature;
    return regs;
}

kvm_sregs init_sregs(const kvm_sregs& before) {
    kvm_sregs sregs{};
    sregs.cs = real_mode_segment(11);
    sregs.cs.selector = 0xf000;
    sregs.cs.base = 0xffff0000;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = real_mode_segment(3);
    sregs.tr = system_segment(11);
    sregs.ldt = system_segment(2);
    sregs.gdt.limit = sregs.idt.limit = 0xffff;
    sregs.cr0 = (before.cr0 & kCr0CacheBits) | kCr0ExtensionType;
    sregs.apic_base = before.apic_base;
    return sregs;
}

void start_at(std::uint8_t page, kvm_regs& regs, kvm_sregs& sregs) {
    sregs.cs.selector = static_cast<std::uint16_t>(page << 8);
    sregs.cs.base = std::uint64_t{page} << 12;
    regs.rip = 0;
}

}  // namespace vsmp::cpu
