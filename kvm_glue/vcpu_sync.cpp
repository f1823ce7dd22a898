// State through the run page. KVM loads what is marked dirty at the start of KVM_RUN and stores
// what is asked for at its end, even when immediate_exit keeps it from running the guest.
#include <variant>

#include "kvm_glue/vcpu.hpp"

namespace vsmp::kvm {

Result<void> Vcpu::synchronize(const char* operation) {
    const Exit exit = complete_io();
    run_page().kvm_valid_regs = 0;
    run_page().kvm_dirty_regs = 0;
    if (std::holds_alternative<InterruptedExit>(exit)) return {};
    if (const auto* failed = std::get_if<FailedExit>(&exit))
        return Error{std::string{operation} + ": " + failed->text};
    return Error{std::string{operation} + ": an I/O exit is not complete"};
}

Result<Vcpu::CoreState> Vcpu::core_state() {
    kvm_run& run = run_page();
    run.kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    VSMP_TRY(synchronize("KVM_RUN(valid_regs)"));
    return CoreState{run.s.regs.regs, run.s.regs.sregs, run.s.regs.events};
}

Result<void> Vcpu::set_core_state(const CoreState& state) {
    kvm_run& run = run_page();
    run.s.regs.regs = state.regs;
    run.s.regs.sregs = state.sregs;
    run.s.regs.events = state.events;
    run.kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    return synchronize("KVM_RUN(dirty_regs)");
}

}  // namespace vsmp::kvm
