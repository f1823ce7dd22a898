// Boot protocol "micro": small freestanding programs of ours (test/micro/) that exercise pages,
// ships and interrupts on any KVM, also on one that shadows page tables in software: page tables,
// GDT, IDT and TSS are made here once, with accessed, dirty and busy bits preset, and never change.
//
// Every vCPU starts at once at CPL 3 in 64-bit mode at the ELF's entry point, interrupts on, with
//     rdi = its number, rsi = number of vCPUs, rdx = bytes of guest RAM, rcx = address of the
//     argument block (u64[16], then one word with XCR0), rsp = the top of its own stack
// and memory identity mapped, user accessible. MMIO (the xAPIC page) is not mapped: use x2APIC.
//
// I/O ports are open to CPL 3 by IOPL 3 and by the TSS's I/O bitmap (some emulators ignore the one,
// some the other). Two mean something to the VMM; both are 4-byte OUTs, and the VMM reads rbx when
// it handles the exit, so a report is one instruction and survives a ship before or after it:
//     kReportPort: eax = code, rbx = value
//     kFinishPort: eax = status, 0 is good; the vCPU must not be run again
//
// Interrupts and exceptions enter CPL 0 at the stubs the ELF exports, on a stack of the vCPU's own.
// Above the frame that the CPU pushes lies the vCPU number: at [rsp + 40] (without error code) when
// the stub starts. `int3` is the system call: the only software interrupt that every KVM we know
// delivers from CPL 3 (`int n` raises #UD on a software KVM), its gate has DPL 3. The ELF's note
// (name "vsmp", type 1) tells where the stubs are: u64 address of the stub of vector 0, u64
// distance in bytes from one stub to the next.
#pragma once

#include <array>
#include <cstdint>

#include "proto/result.hpp"
#include "vmm/boot/boot_image.hpp"
#include "vmm/memory_layout.hpp"

namespace vsmp::boot {

inline constexpr std::uint16_t kReportPort = 0x510;
inline constexpr std::uint16_t kFinishPort = 0x511;
// Status of a vCPU that took an exception nobody expected; rbx = vector << 56 | RIP.
inline constexpr std::uint32_t kStatusException = 0xdead;

inline constexpr std::size_t kMicroMaxVcpus = 64;
inline constexpr std::uint64_t kMicroMaxMemory = 60ull << 30;
// Programs are linked here; all of guest RAM below it belongs to the loader.
inline constexpr Gpa kMicroLoadBase{0x200000};

struct MicroBoot {
    ByteView program;
    std::uint16_t vcpu_count = 1;
    const MemoryLayout& memory;
    std::array<std::uint64_t, 16> arguments{};
    // XCR0 bits that the host supports (CPUID 0xd): 0 leaves CR4.OSXSAVE off.
    std::uint64_t xcr0 = 0;
};

// True when the file has our note: name "vsmp", type 1.
bool is_micro_program(ByteView file);

Result<BootImage> load_micro(const MicroBoot& boot);

}  // namespace vsmp::boot
