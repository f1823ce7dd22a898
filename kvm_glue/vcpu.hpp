// One virtual CPU of KVM. Everything here is for the thread that runs it, kick targets excepted
// (kick.hpp).
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvm_glue/exit.hpp"
#include "proto/cpuid_leaf.hpp"
#include "proto/fd.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp::kvm {

enum class MsrAnswer : std::uint8_t { done, general_protection };

class Vcpu {
  public:
    // --- running -----------------------------------------------------------------------------
    // KVM_RUN. Comes back at once with InterruptedExit while immediate_exit is set.
    Exit run();
    // KVM_RUN with immediate_exit: finishes the instruction whose I/O exit was just answered and
    // refreshes the accessors below, without running the guest any further. Ends in
    // InterruptedExit, or in a further I/O exit of the same instruction: answer it and call again.
    Exit complete_io();
    void complete_rdmsr(MsrAnswer answer, std::uint64_t value);
    void complete_wrmsr(MsrAnswer answer);

    // Written by the kick signal's handler too, at any moment.
    std::uint8_t* immediate_exit() const { return &run_page().immediate_exit; }
    // Clears immediate_exit, ordered before whatever the caller checks next for things to do.
    void clear_immediate_exit();

    // --- interrupts: state as of the last run() or complete_io() -------------------------------
    // Whether interrupt() may be called now: not again before the vCPU has taken the last one.
    bool ready_for_interrupt() const { return run_page().ready_for_interrupt_injection != 0; }
    bool interrupt_flag() const { return run_page().if_flag != 0; }
    std::uint64_t apic_base() const { return run_page().apic_base; }
    std::uint8_t cr8() const { return static_cast<std::uint8_t>(run_page().cr8); }
    // Loaded by the next run().
    void set_cr8(std::uint8_t value) { run_page().cr8 = value; }
    // Whether the next run() comes back with IrqWindowOpenExit once ready_for_interrupt() holds.
    enum class Window : std::uint8_t { not_wanted, wanted };
    void request_interrupt_window(Window window);
    // KVM_INTERRUPT: the next run() begins with this interrupt.
    Result<void> interrupt(std::uint8_t vector);
    Result<void> nmi();

    // --- state -----------------------------------------------------------------------------------
    Result<void> set_cpuid(std::span<const CpuidLeaf> leaves);
    Result<kvm_regs> regs() const;
    Result<void> set_regs(const kvm_regs& regs);
    Result<kvm_sregs> sregs() const;
    Result<void> set_sregs(const kvm_sregs& sregs);
    // The XSAVE area, xsave_size() bytes, standard format (SDM vol. 1, 13.4.1-2).
    std::size_t xsave_size() const { return xsave_size_; }
    Result<void> xsave(std::span<std::byte> area) const;
    Result<void> set_xsave(std::span<const std::byte> area);
    Result<kvm_xcrs> xcrs() const;
    Result<void> set_xcrs(const kvm_xcrs& xcrs);
    Result<kvm_vcpu_events> events() const;
    Result<void> set_events(const kvm_vcpu_events& events);
    Result<kvm_debugregs> debugregs() const;
    Result<void> set_debugregs(const kvm_debugregs& debugregs);
    Result<kvm_mp_state> mp_state() const;
    Result<void> set_mp_state(const kvm_mp_state& state);
    // Fills in the values of the entries' indices. An index that KVM refuses is an error naming it.
    Result<void> msrs(std::span<kvm_msr_entry> entries) const;
    Result<void> set_msrs(std::span<const kvm_msr_entry> entries);

    // The same for three of them at once, through the run page (KVM_CAP_SYNC_REGS): one KVM_RUN
    // that does not run the guest, where each ioctl of its own costs as much. Both also refresh the
    // accessors above, like complete_io(). An error when an I/O exit is not complete.
    struct CoreState {
        kvm_regs regs{};
        kvm_sregs sregs{};
        kvm_vcpu_events events{};
    };
    Result<CoreState> core_state();
    Result<void> set_core_state(const CoreState& state);

    // --- time --------------------------------------------------------------------------------
    // Guest TSC = host TSC + offset (modulo 2^64). Setting fails where KVM cannot offset the TSC
    // and `offset` is not what it has anyway (0 on the software KVM of kvm_pvm).
    Result<std::uint64_t> tsc_offset() const;
    Result<void> set_tsc_offset(std::uint64_t offset);
    Result<std::uint32_t> tsc_khz() const;
    // Fails where the rate differs from the host's and the CPU cannot scale.
    Result<void> set_tsc_khz(std::uint32_t khz);

  private:
    friend class Vm;
    Vcpu(UniqueFd fd, Mapping run_mapping, std::size_t xsave_size);
    kvm_run& run_page() const;
    Result<void> synchronize(const char* operation);
    Exit decode_exit() const;

    UniqueFd fd_;
    Mapping run_;
    std::size_t xsave_size_;
};

}  // namespace vsmp::kvm
