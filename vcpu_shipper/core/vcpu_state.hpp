// Everything a running vCPU is, in types of our own, and its form on the wire.
//
// What travels is what differs from the processor's reset or init state: a vCPU with an idle FPU
// is a few hundred bytes, one with every AVX-512 register live still fits one jumbo frame. The
// encoding is canonical: decode(encode(x)) == x for valid x, and encode(decode(b)) == b for
// every b that decode accepts. Pure; any thread. Sources: SDM vol. 1 ch. 13 (XSAVE), vol. 3A 3.4
// (segments), 9.1 (reset), vol. 3C 25.4.1 (access rights), KVM's api.rst (events).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/result.hpp"
#include "proto/segment.hpp"

namespace vsmp::shipper {

struct GeneralRegisters {
    // rax rbx rcx rdx rsi rdi rsp rbp r8..r15: KVM's order
    std::array<std::uint64_t, 16> gpr{};
    std::uint64_t rip = 0, rflags = 2;
    friend bool operator==(const GeneralRegisters&, const GeneralRegisters&) = default;
};

struct SystemRegisters {
    Segment cs, ds, es, fs, gs, ss, tr, ldt;
    DescriptorTable gdt, idt;
    std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
    std::uint8_t cr8 = 0;  // 0..15
    std::uint64_t efer = 0, apic_base = 0;
    friend bool operator==(const SystemRegisters&, const SystemRegisters&) = default;
};

struct DebugRegisters {
    std::array<std::uint64_t, 4> dr{};  // DR0..DR3
    std::uint64_t dr6 = 0xffff0ff0, dr7 = 0x400;
    friend bool operator==(const DebugRegisters&, const DebugRegisters&) = default;
};

// What the processor was about to deliver, and what holds delivery back.
struct PendingEvents {
    // An exception is `injected` when its delivery had begun, `pending` when it had not.
    bool exception_injected = false, exception_pending = false, exception_has_error = false;
    bool exception_has_payload = false;
    std::uint8_t exception_vector = 0;
    std::uint32_t exception_error = 0;
    std::uint64_t exception_payload = 0;  // CR2 or DR6 to be

    bool interrupt_injected = false, interrupt_soft = false;
    std::uint8_t interrupt_vector = 0;
    std::uint8_t shadow = 0;  // bit 0: MOV SS, bit 1: STI; no interrupt after this instruction

    bool nmi_injected = false, nmi_masked = false;
    std::uint8_t nmi_pending = 0;  // 0..2
    bool triple_fault = false;
    friend bool operator==(const PendingEvents&, const PendingEvents&) = default;
};

enum class MpState : std::uint8_t { runnable, uninitialized, init_received, halted, sipi_received };

// One state component of the XSAVE area that is not in its init state (its XSTATE_BV bit is set).
// 0 (x87) is bytes 0..159 of the legacy area with MXCSR and MXCSR_MASK zeroed, 1 (SSE) bytes
// 160..415; for the others offset and size are those of CPUID 0xD, which the guest knows too:
// a destination where they differ must refuse.
struct XsaveComponent {
    std::uint8_t index = 0;
    std::uint16_t offset = 0;  // in the standard format, bytes
    std::vector<std::byte> bytes;
    friend bool operator==(const XsaveComponent&, const XsaveComponent&) = default;
};

struct XsaveState {
    std::uint64_t xcr0 = 1;
    std::uint32_t mxcsr = 0x1f80;
    std::vector<XsaveComponent> components;  // by index, each index at most once
    friend bool operator==(const XsaveState&, const XsaveState&) = default;
};

// User state components that may travel: x87, SSE, AVX, MPX (2), AVX-512 (3), PKRU. AMX tiles
// (17, 18) would not fit a frame, supervisor states are MSRs.
inline constexpr std::uint64_t kShippableXcr0 = 0b10'1111'1111 & ~(1ull << 8);

struct Msr {
    std::uint32_t index = 0;
    std::uint64_t value = 0;
    friend bool operator==(const Msr&, const Msr&) = default;
};

struct VcpuState {
    GeneralRegisters general;
    SystemRegisters system;
    XsaveState xsave;
    DebugRegisters debug;
    PendingEvents events;
    MpState mp = MpState::runnable;
    // Interrupts handed to the processor but not yet taken, bit per vector (KVM: at most one).
    std::array<std::uint64_t, 4> interrupt_bitmap{};
    std::vector<Msr> msrs;              // by index; values of zero are left out
    std::vector<std::byte> local_apic;  // the VMM's own encoding
    // Guest TSC when it stopped running, for the statistics of whoever receives it.
    std::uint64_t stopped_at = 0;
    friend bool operator==(const VcpuState&, const VcpuState&) = default;
};

inline constexpr std::size_t kLegacyFpuBytes = 160, kLegacySseBytes = 256;
inline constexpr std::size_t kExtendedXsaveOffset = 576;  // end of legacy area and header
inline constexpr std::size_t kMaxXsaveArea = 4096;
inline constexpr std::size_t kMaxMsrs = 256;
inline constexpr std::size_t kMaxLocalApicBytes = 1024;
// Whatever the state, its encoding is at most this long (proved by a static_assert).
inline constexpr std::size_t kMaxStateBytes = 8900;

// Whether a state keeps the rules that the comments above give; the error names the broken one.
Result<void> validate(const VcpuState& state);

// Writes at most kMaxStateBytes. An invalid state is a bug of ours and aborts.
void encode(const VcpuState& state, ByteWriter& to);
// Accepts exactly what encode writes; anything else is an error.
Result<VcpuState> decode(ByteView bytes);

}  // namespace vsmp::shipper
