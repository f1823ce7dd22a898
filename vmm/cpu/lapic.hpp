// One local APIC as a pure state machine: register accesses and interrupts go in, the vector to
// inject and effects on others come out. It travels with its vCPU. Time is the guest's TSC and is
// passed in. Sources: SDM vol. 3A chapter 10, APM vol. 2 chapter 16.
//
// Left out on purpose: CMCI, SMI, focus processor checking, EOI-broadcast suppression, LINT pins
// (nothing is wired to them; their registers store what is written).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "vmm/cpu/apic_timer.hpp"
#include "vmm/cpu/apic_types.hpp"

namespace vsmp::cpu {

inline constexpr Gpa kApicPage{0xfee00000};
inline constexpr std::uint32_t kApicBaseMsr = 0x1b;
inline constexpr std::uint32_t kTscDeadlineMsr = 0x6e0;
inline constexpr std::uint32_t kX2apicFirstMsr = 0x800, kX2apicLastMsr = 0x8ff;

enum class ApicRole : std::uint8_t { bootstrap, application };

// What a register write does beyond this local APIC.
struct ApicEffects {
    std::optional<Ipi> ipi;
    std::optional<std::uint8_t> eoi;     // of a level-triggered vector: tell the I/O APICs
    std::optional<ApicAddress> address;  // changed: tell whoever routes interrupts
};

class LocalApic {
  public:
    // As after power-up: xAPIC mode, software-disabled (10.4.7.1).
    LocalApic(VcpuId id, ApicRole role);
    // INIT: everything but the APIC ID and IA32_APIC_BASE (10.4.7.3, 10.12.5.1).
    ApicEffects init();

    VcpuId id() const { return id_; }
    ApicMode mode() const;
    ApicAddress address() const;

    // IA32_APIC_BASE. Only transitions that KVM allows get here; the address part is ignored.
    std::uint64_t base() const { return base_; }
    ApicEffects set_base(std::uint64_t value);

    // xAPIC registers, `offset` (0..0xfff) a multiple of 16. In mode xapic only. Whatever the guest
    // does is answered as the hardware would; nothing fails.
    std::uint32_t read_register(std::uint32_t offset, GuestTsc now);
    ApicEffects write_register(std::uint32_t offset, std::uint32_t value, GuestTsc now);

    // x2APIC registers (0x800..0x8ff) and IA32_TSC_DEADLINE. nullopt: #GP.
    std::optional<std::uint64_t> read_msr(std::uint32_t index, GuestTsc now);
    std::optional<ApicEffects> write_msr(std::uint32_t index, std::uint64_t value, GuestTsc now);

    // A fixed interrupt arrives. Dropped while the APIC is disabled.
    void accept(std::uint8_t vector, Trigger trigger);

    // Lets the timer expire. Every register access does so first.
    void advance(GuestTsc now);
    // When advance() will do something that the guest could notice. None while an expiry would
    // change nothing (masked, or its vector still pending).
    std::optional<GuestTsc> next_deadline() const;

    // The vector whose class is above the processor priority and that comes next, if any.
    std::optional<std::uint8_t> injectable() const;
    // It was handed to the processor: IRR -> ISR.
    void begin_service(std::uint8_t vector);

    // Task priority as the processor's CR8 shows it: bits 7..4 of TPR.
    std::uint8_t cr8() const { return static_cast<std::uint8_t>(tpr_ >> 4); }
    // Leaves the low bits of TPR alone when CR8 did not change.
    void set_cr8(std::uint8_t value);

    static constexpr std::size_t kEncodedSize =
        2 + 1 + 8 + 2 + 4 * 4 + 6 * 4 + 2 * 4 + 8 + 96 + ApicTimer::kEncodedSize;
    void encode(ByteWriter& to) const;
    // Comes from another node: an error for what no LocalApic could have encoded.
    static Result<LocalApic> decode(ByteReader& from);

    friend bool operator==(const LocalApic&, const LocalApic&) = default;

  private:
    enum Lvt : std::size_t { timer, thermal, performance, lint0, lint1, error, lvt_count };

    void reset_registers();
    bool software_enabled() const;
    std::uint8_t processor_priority() const;
    std::uint32_t logical_destination() const;
    std::optional<std::uint32_t> read_plain(std::uint32_t offset, GuestTsc now);
    // nullopt: no such register, or not writable.
    std::optional<ApicEffects> write_plain(std::uint32_t offset, std::uint32_t value, GuestTsc now);
    void write_spurious(std::uint32_t value);
    void write_lvt(Lvt which, std::uint32_t value);
    std::optional<std::uint8_t> end_of_interrupt();
    std::optional<Ipi> send(std::uint64_t command);
    void note_error(std::uint32_t bit);

    VcpuId id_;
    ApicRole role_;
    std::uint64_t base_;
    std::uint8_t tpr_ = 0;
    std::uint32_t spurious_ = 0;
    std::uint32_t ldr_ = 0, dfr_ = 0;  // of xAPIC mode
    std::uint32_t error_status_ = 0, errors_seen_ = 0;
    std::uint64_t command_ = 0;  // ICR
    std::array<std::uint32_t, lvt_count> lvt_{};
    VectorSet requested_, in_service_, level_;  // IRR, ISR, TMR
    ApicTimer timer_;
};

}  // namespace vsmp::cpu
