// Just enough of an assembler for the tests' guests. 64-bit mode unless said otherwise.
#pragma once

#include <cstdint>
#include <vector>

#include "test/kvm_glue/tiny_guest.hpp"

namespace vsmp::test {

class Asm {
  public:
    Asm& raw(std::initializer_list<std::uint8_t> bytes) {
        code_.insert(code_.end(), bytes);
        return *this;
    }
    Asm& mov_eax(std::uint32_t v) { return raw({0xb8}).imm32(v); }
    Asm& mov_ecx(std::uint32_t v) { return raw({0xb9}).imm32(v); }
    Asm& mov_edx(std::uint32_t v) { return raw({0xba}).imm32(v); }
    // Uses rax, rcx, rdx.
    Asm& wrmsr(std::uint32_t index, std::uint64_t value) {
        return mov_ecx(index)
            .mov_eax(static_cast<std::uint32_t>(value))
            .mov_edx(static_cast<std::uint32_t>(value >> 32))
            .raw({0x0f, 0x30});
    }
    // edx:eax = value
    Asm& rdmsr(std::uint32_t index) { return mov_ecx(index).raw({0x0f, 0x32}); }
    Asm& out_al(std::uint8_t port) { return raw({0xe6, port}); }
    Asm& out_eax(std::uint8_t port) { return raw({0xe7, port}); }
    Asm& out(std::uint8_t port, std::uint32_t value) { return mov_eax(value).out_eax(port); }
    Asm& in_eax(std::uint8_t port) { return raw({0xe5, port}); }
    Asm& rdtsc() { return raw({0x0f, 0x31}); }
    Asm& sti() { return raw({0xfb}); }
    Asm& cli() { return raw({0xfa}); }
    Asm& hlt() { return raw({0xf4}); }
    Asm& iretq() { return raw({0x48, 0xcf}); }
    Asm& push_all() { return raw({0x50, 0x51, 0x52}); }  // rax, rcx, rdx
    Asm& pop_all() { return raw({0x5a, 0x59, 0x58}); }
    Asm& jmp_self() { return raw({0xeb, 0xfe}); }
    // Back to the start of this piece of code.
    Asm& jmp_start() {
        return raw({0xe9}).imm32(static_cast<std::uint32_t>(-static_cast<int>(code_.size()) - 4));
    }
    // mov dword [address], value
    Asm& store32(std::uint32_t address, std::uint32_t value) {
        return raw({0x48, 0xbf}).imm32(address).imm32(0).raw({0xc7, 0x07}).imm32(value);
    }
    // eax = dword [address]; uses rdi
    Asm& load32(std::uint32_t address) {
        return raw({0x48, 0xbf}).imm32(address).imm32(0).raw({0x8b, 0x07});
    }
    // lock inc qword [address]; uses rdi
    Asm& inc64(std::uint32_t address) {
        return raw({0x48, 0xbf}).imm32(address).imm32(0).raw({0xf0, 0x48, 0xff, 0x07});
    }
    // Switches the local APIC to x2APIC mode and enables it.
    Asm& x2apic(std::uint32_t base_flags) {
        return wrmsr(0x1b, 0xfee00c00 | base_flags).wrmsr(0x80f, 0x1ff);
    }
    Asm& eoi() { return wrmsr(0x80b, 0); }

    void at(TinyGuest& guest, std::uint64_t gpa) const {
        std::memcpy(guest.at(gpa), code_.data(), code_.size());
    }

  private:
    Asm& imm32(std::uint32_t v) {
        for (int i = 0; i < 4; ++i) code_.push_back(static_cast<std::uint8_t>(v >> (8 * i)));
        return *this;
    }
    std::vector<std::uint8_t> code_;
};

}  // namespace vsmp::test
