// Guests of a few hand-assembled instructions, in 64-bit mode over identity page tables that are
// written once, accessed and dirty bits set.
#pragma once

#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "kvm_glue/deadline_msr.hpp"
#include "kvm_glue/kick.hpp"
#include "kvm_glue/kvm.hpp"
#include "kvm_glue/probe.hpp"
#include "kvm_glue/vcpu.hpp"
#include "proto/fd.hpp"
#include "test/skip.hpp"

namespace vsmp::test {

// Ends a test as skipped where no KVM is to be had.
#define VSMP_NEEDS_KVM()                                                                           \
    do {                                                                                           \
        const kvm::Facts facts = kvm::probe();                                                     \
        if (kvm::usability(facts) == kvm::Usability::nothing) VSMP_SKIP() << kvm::describe(facts); \
    } while (false)

// The same where KVM keeps a guest's deadlines to itself.
#define VSMP_NEEDS_DEADLINE_TIMERS()                                               \
    do {                                                                           \
        const auto writes = kvm::find_deadline_writes(*kvm::Kvm::open());          \
        ASSERT_TRUE(writes) << writes.error().message;                             \
        if (*writes != kvm::DeadlineWrites::ours)                                  \
            VSMP_SKIP() << "this KVM drops a guest's writes of IA32_TSC_DEADLINE"; \
    } while (false)

enum class Ring : std::uint8_t { kernel, user };

class TinyGuest {
  public:
    static constexpr std::size_t kMemory = 16 << 20;
    static constexpr std::uint64_t kCode = 0x10000;   // where programs usually go
    static constexpr std::uint64_t kStack = 0x9000;   // grows down; also the TSS's RSP0
    static constexpr std::uint64_t kData = 0x800000;  // free for programs

    TinyGuest() : memory_(*Mapping::shared(-1, kMemory)) {
        store64(0x2000, 0x3067);
        store64(0x3000, 0x4067);
        for (std::uint64_t i = 0; i < 512; ++i) store64(0x4000 + i * 8, i << 21 | 0xe7);
        // The gigabyte below 4 GiB, where the local APIC is.
        store64(0x3018, 0xa067);
        for (std::uint64_t i = 0; i < 512; ++i)
            store64(0xa000 + i * 8, ((3ull << 30) + (i << 21)) | 0xe7);
        store64(0x6008, 0x00af9b000000ffff);  // 08 kernel code
        store64(0x6010, 0x00cf93000000ffff);  // 10 kernel data
        store64(0x6018, 0x00cff3000000ffff);  // 18 user data
        store64(0x6020, 0x00affb000000ffff);  // 20 user code
        store64(0x6028, 0x00008b0000000067 | std::uint64_t{kTss} << 16);
        store64(kTss + 4, kStack);
    }

    std::span<std::byte> memory() const { return memory_.bytes(); }
    std::byte* at(std::uint64_t gpa) const { return memory_.data() + gpa; }
    void code(std::uint64_t gpa, std::initializer_list<std::uint8_t> bytes) {
        std::memcpy(at(gpa), bytes.begin(), bytes.size());
    }
    void store64(std::uint64_t gpa, std::uint64_t value) {
        __atomic_store_n(reinterpret_cast<std::uint64_t*>(at(gpa)), value, __ATOMIC_SEQ_CST);
    }
    std::uint64_t load64(std::uint64_t gpa) const {
        return __atomic_load_n(reinterpret_cast<std::uint64_t*>(at(gpa)), __ATOMIC_SEQ_CST);
    }
    // An interrupt gate to `handler`, in ring 0.
    void gate(std::uint8_t vector, std::uint64_t handler) {
        store64(0x5000 + std::uint64_t{vector} * 16, (handler & 0xffff) | 0x8u << 16 |
                                                         std::uint64_t{0xee00} << 32 |
                                                         (handler >> 16) << 48);
        store64(0x5008 + std::uint64_t{vector} * 16, handler >> 32);
    }

    static kvm_regs regs(std::uint64_t rip) {
        kvm_regs regs{};
        regs.rip = rip;
        regs.rsp = kStack - 0x800;
        regs.rflags = 2;
        return regs;
    }
    // On top of what a fresh vCPU has.
    static kvm_sregs sregs(kvm_sregs s, Ring ring) {
        s.cr3 = 0x2000;
        s.cr4 = 0x620;
        s.cr0 = 0x80050033;
        s.efer = 0xd01;
        s.gdt.base = 0x6000;
        s.gdt.limit = 0x37;
        s.idt.base = 0x5000;
        s.idt.limit = 0xfff;
        const bool user = ring == Ring::user;
        kvm_segment code{};
        code.limit = 0xffffffff;
        code.selector = user ? 0x23 : 0x8;
        code.type = 11;
        code.present = code.s = code.l = code.g = 1;
        code.dpl = user ? 3 : 0;
        kvm_segment data = code;
        data.selector = user ? 0x1b : 0x10;
        data.type = 3;
        data.l = 0;
        data.db = 1;
        s.cs = code;
        s.ds = s.es = s.fs = s.gs = s.ss = data;
        s.tr = {};
        s.tr.base = kTss;
        s.tr.limit = 0x67;
        s.tr.selector = 0x28;
        s.tr.type = 11;
        s.tr.present = 1;
        return s;
    }

  private:
    static constexpr std::uint64_t kTss = 0x7000;
    Mapping memory_;
};

// A VM with a TinyGuest's memory.
struct TinyVm {
    TinyGuest guest;
    kvm::Kvm kvm = *kvm::Kvm::open();
    kvm::Vm vm = *kvm.create_vm();

    TinyVm() {
        auto installed = kvm::install_kick_handler();
        VSMP_CHECK(installed, "the kick handler can be installed");
        auto set = vm.set_memory(kvm::MemorySlot(0), Gpa(0), guest.memory());
        VSMP_CHECK(set, "memory can be set");
    }

    // A vCPU about to run the code at `rip`.
    kvm::Vcpu vcpu(VcpuId id, std::uint64_t rip, Ring ring = Ring::kernel) {
        kvm::Vcpu vcpu = *vm.create_vcpu(id);
        VSMP_CHECK(vcpu.set_cpuid(*kvm.supported_cpuid()), "CPUID");
        VSMP_CHECK(vcpu.set_sregs(TinyGuest::sregs(*vcpu.sregs(), ring)), "sregs");
        VSMP_CHECK(vcpu.set_regs(TinyGuest::regs(rip)), "regs");
        return vcpu;
    }
};

}  // namespace vsmp::test
