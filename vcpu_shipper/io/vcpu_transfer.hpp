// Reading the whole state of a vCPU out of KVM, and loading it into another one.
//
// Precondition of both: no I/O exit is unanswered or incomplete (kvm::Vcpu::complete_io). Both
// refresh what kvm::Vcpu tells about interrupts (ready_for_interrupt...). KVM has
// no local APIC here and therefore calls every vCPU runnable; halted or waiting for SIPI is
// knowledge of the VMM's: it fills in VcpuState::mp and ::local_apic after capture(), and looks at
// them after restore(), which ignores both.
//
// Time: guest TSC = what all nodes agree on + IA32_TSC_ADJUST. The first part is in each node's
// offset and never travels. When the guest writes TSC or TSC_ADJUST, KVM shifts the offset of the
// vCPU where that happens and keeps the sum in TSC_ADJUST (SDM vol. 3B 18.17.3); when KVM is told
// a TSC_ADJUST by us, it only notes the value. So restore() moves the offset by as much as the
// value differs from the one that this node's vCPU last had: an unchanged one costs nothing.
//
// Threads: the one that runs the vCPU.
#pragma once

#include <optional>

#include "kvm_glue/kvm.hpp"
#include "kvm_glue/vcpu.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"
#include "vcpu_shipper/io/xsave_area.hpp"

namespace vsmp::shipper {

// What is the same for all vCPUs of a VM.
struct TransferPlan {
    std::vector<std::uint32_t> msrs;  // ascending
    XsaveLayout xsave;
};

// `probe`: any vCPU of the VM after set_cpuid.
Result<TransferPlan> plan_transfers(const kvm::Kvm& kvm, const kvm::Vcpu& probe);

// For one vCPU of one node. It remembers what it last read, since that is what KVM still holds
// when the vCPU comes back, and loads what differs. So nobody else may change or run the vCPU
// between a capture() and the restore() that follows; one that stayed is captured again before it
// leaves.
class VcpuTransfer {
  public:
    // `plan` outlives this.
    explicit VcpuTransfer(const TransferPlan& plan) : plan_(&plan) {}

    Result<VcpuState> capture(kvm::Vcpu& vcpu);
    // After an error the vCPU is in no defined state and must not run here; it may be restored to
    // once more. The error may be this host's (it lacks something), or bad_state's.
    Result<void> restore(kvm::Vcpu& vcpu, const VcpuState& state);

  private:
    Result<std::vector<Msr>> read_msrs(const kvm::Vcpu& vcpu) const;
    Result<void> load_xsave(kvm::Vcpu& vcpu, const XsaveState& xsave, const XsaveState& before);
    Result<void> load_msrs(kvm::Vcpu& vcpu, const VcpuState& state, const VcpuState& before);
    Result<void> load_core(kvm::Vcpu& vcpu, const VcpuState& state);

    const TransferPlan* plan_;
    std::optional<VcpuState> held_;  // what KVM has, when we know
    std::uint32_t event_flags_ = 0;  // of KVM's events: what it can take
};

}  // namespace vsmp::shipper
