// What a micro-guest program has to work with. Freestanding: no library, no red zone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "test/micro/ports.h"

namespace micro {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline constexpr u64 kPageBytes = 4096;

struct Guest {
    u64 vcpu;
    u64 vcpus;
    u64 ram_bytes;
    const u64* arguments;  // 16 of them; each program says what they mean

    // XCR0 as the loader has set it; 0: no XSAVE.
    u64 extended_state() const { return arguments[16]; }
    // Argument `index`, or `otherwise` when it is 0.
    u64 argument(unsigned index, u64 otherwise) const {
        return arguments[index] != 0 ? arguments[index] : otherwise;
    }
};

// Status of a program: 0 when all went as it must; the programs number their failures.
using Status = u32;
inline constexpr Status kGood = 0;

// One value for the test. The value goes in rbx, see vmm/boot/micro.hpp.
inline void report(u32 code, u64 value) {
    asm volatile("out %0, %1"
                 :
                 : "a"(code), "d"(std::uint16_t{REPORT_PORT}), "b"(value)
                 : "memory");
}

// Ends this vCPU as failed, with a value that helps to find out why.
[[noreturn]] inline void fail(Status status, u64 value) {
    for (;;)
        asm volatile("out %0, %1"
                     :
                     : "a"(status), "d"(std::uint16_t{FINISH_PORT}), "b"(value)
                     : "memory");
}

inline void pause() {
    asm volatile("pause");
}

inline u64 timestamp() {
    u32 low, high;
    asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
    return u64{high} << 32 | low;
}

// Through the CPL 0 stub behind int3. It leaves the registers as the instruction does.
//
// Called again until the stub says that it was: KVM does not report a pending #BP in a vCPU's
// state, since on hardware RIP is still on the int3 then (arch/x86/kvm, kvm_exception_is_soft). A
// software KVM has moved RIP on by then, and a vCPU that is shipped at that moment loses the trap.
inline void write_msr(u32 index, u64 value) {
    register u64 operation asm("r8") = 0;
    register u64 done asm("r9") = 0;
    while (done == 0)
        asm volatile("int3"
                     : "+r"(done)
                     : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)),
                       "r"(operation)
                     : "memory");
}

// Writes an MSR that makes an interrupt due, and halts until one was taken. The same stub; none can
// be taken between the two.
inline void write_msr_and_halt(u32 index, u64 value) {
    register u64 operation asm("r8") = 2;
    register u64 done asm("r9") = 0;
    while (done == 0)
        asm volatile("int3"
                     : "+r"(done)
                     : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)),
                       "r"(operation)
                     : "memory");
}

inline u64 load(const u64* word) {
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}
inline void store(u64* word, u64 value) {
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}
inline u64 add(u64* word, u64 value) {
    return __atomic_add_fetch(word, value, __ATOMIC_SEQ_CST);
}

// Something was typed on the console: how a test tells a program that waits or runs on. Nobody
// reads the byte, so that it is there for all vCPUs.
inline bool console_has_input() {
    std::uint8_t line_status;
    asm volatile("in %1, %0" : "=a"(line_status) : "d"(std::uint16_t{CONSOLE_LINE_STATUS_PORT}));
    return (line_status & 1) != 0;
}

inline void read_console() {
    std::uint8_t byte;
    asm volatile("in %1, %0" : "=a"(byte) : "d"(std::uint16_t{CONSOLE_DATA_PORT}));
}

inline u64* words_at(u64 gpa) {
    return reinterpret_cast<u64*>(gpa);
}

// All vCPUs of the guest meet here. Counts up for ever, so it can be used again and again.
class alignas(kPageBytes) Barrier {
  public:
    void wait(const Guest& guest) {
        const u64 arrival = add(&arrived_, 1);
        const u64 last_of_round = (arrival + guest.vcpus - 1) / guest.vcpus * guest.vcpus;
        while (load(&arrived_) < last_of_round) pause();
    }

  private:
    u64 arrived_ = 0;
};

// A well-mixed value that depends on all three (the finaliser of MurmurHash3).
constexpr u64 mix(u64 a, u64 b, u64 c) {
    u64 x = a * 0x9e3779b97f4a7c15 + b * 0xbf58476d1ce4e5b9 + c + 1;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccd;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53;
    return x ^ x >> 33;
}

// Default place for a program's shared pages, behind any program.
inline constexpr u64 kDefaultArea = 0x400000;

// Interrupts taken, [vCPU][vector], a page for each vCPU; written by the stubs.
extern "C" u64 interrupt_counts[MAX_VCPUS][kPageBytes / sizeof(u64)];

// The program.
Status run(const Guest& guest);

}  // namespace micro
