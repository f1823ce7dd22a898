#include "vcpu_shipper/io/vcpu_transfer.hpp"

#include <algorithm>
#include <utility>

#include "vcpu_shipper/io/kvm_structs.hpp"
#include "vcpu_shipper/io/msr_plan.hpp"

namespace vsmp::shipper {
namespace {

constexpr std::uint64_t kPageBit = 1ull << 12;
constexpr std::uint64_t kCr0Pg = 1ull << 31, kCr4Pae = 1ull << 5, kEferLma = 1ull << 10;

std::uint64_t msr_value(const std::vector<Msr>& msrs, std::uint32_t index) {
    const auto at = std::ranges::lower_bound(msrs, index, {}, &Msr::index);
    return at != msrs.end() && at->index == index ? at->value : 0;
}

// Does KVM_SET_SREGS flush the vCPU's TLB by itself? It does when one of these changes, and with
// 32-bit PAE paging always.
bool loading_flushes_tlb(const SystemRegisters& next, const SystemRegisters& before) {
    const bool pae32 =
        (next.cr0 & kCr0Pg) != 0 && (next.cr4 & kCr4Pae) != 0 && (next.efer & kEferLma) == 0;
    return pae32 || next.cr0 != before.cr0 || next.cr3 != before.cr3 || next.cr4 != before.cr4 ||
           next.efer != before.efer;
}

Result<std::uint64_t> read_xcr0(const kvm::Vcpu& vcpu) {
    VSMP_TRY_ASSIGN(const kvm_xcrs xcrs, vcpu.xcrs());
    for (std::uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; ++i)
        if (xcrs.xcrs[i].xcr == 0) return xcrs.xcrs[i].value;
    return std::uint64_t{1};
}

}  // namespace

Result<TransferPlan> plan_transfers(const kvm::Kvm& kvm, const kvm::Vcpu& probe) {
    TransferPlan plan;
    VSMP_TRY_ASSIGN(plan.msrs, choose_msrs(kvm, probe));
    VSMP_TRY_ASSIGN(const std::vector<CpuidLeaf> leaves, kvm.supported_cpuid());
    plan.xsave = XsaveLayout::from_cpuid(leaves);
    return plan;
}

Result<std::vector<Msr>> VcpuTransfer::read_msrs(const kvm::Vcpu& vcpu) const {
    std::array<kvm_msr_entry, kMaxMsrs> entries{};
    const auto used = std::span{entries}.first(plan_->msrs.size());
    for (std::size_t i = 0; i < used.size(); ++i) used[i].index = plan_->msrs[i];
    VSMP_TRY(vcpu.msrs(used));
    std::vector<Msr> msrs;
    for (const kvm_msr_entry& entry : used)
        if (entry.data != 0) msrs.push_back({entry.index, entry.data});
    return msrs;
}

Result<VcpuState> VcpuTransfer::capture(kvm::Vcpu& vcpu) {
    held_.reset();
    VcpuState state;
    // KVM takes CR8 from the run page at each entry: what stands there counts, also before.
    VSMP_TRY_ASSIGN(const kvm::Vcpu::CoreState core, vcpu.core_state());
    state.general = from_kvm(core.regs);
    state.system = from_kvm(core.sregs);
    state.interrupt_bitmap = interrupt_bitmap(core.sregs);
    state.events = from_kvm(core.events);
    event_flags_ = core.events.flags;
    VSMP_TRY_ASSIGN(const std::uint64_t xcr0, read_xcr0(vcpu));
    if ((xcr0 & ~kShippableXcr0) != 0) return Error{"the guest uses AMX, which cannot be shipped"};
    std::vector<std::byte> area(vcpu.xsave_size());
    VSMP_TRY(vcpu.xsave(area));
    state.xsave = compact_xsave(area, xcr0, plan_->xsave);
    VSMP_TRY_ASSIGN(const kvm_debugregs debug, vcpu.debugregs());
    state.debug = from_kvm(debug);
    VSMP_TRY_ASSIGN(state.msrs, read_msrs(vcpu));
    VSMP_TRY(validate(state));
    held_ = state;
    return state;
}

Result<void> VcpuTransfer::restore(kvm::Vcpu& vcpu, const VcpuState& state) {
    VSMP_TRY(validate(state));
    if (!held_) VSMP_TRY(capture(vcpu));
    const VcpuState before = *std::exchange(held_, std::nullopt);
    // What the guest changed in its page tables while it was elsewhere, it also flushed there, but
    // the TLB here may hold translations of its last stay.
    if (!loading_flushes_tlb(state.system, before.system)) {
        SystemRegisters other = state.system;
        other.cr3 ^= kPageBit;
        VSMP_TRY(vcpu.set_sregs(to_kvm(other, {})));
    }
    VSMP_TRY(load_xsave(vcpu, state.xsave, before.xsave));
    VSMP_TRY(load_msrs(vcpu, state, before));
    if (state.debug != before.debug) VSMP_TRY(vcpu.set_debugregs(to_kvm(state.debug)));
    return load_core(vcpu, state);
}

// KVM loads them in this order: general registers, which drops an exception; system registers,
// which queues interrupts; events, which say what really is under way.
Result<void> VcpuTransfer::load_core(kvm::Vcpu& vcpu, const VcpuState& state) {
    kvm::Vcpu::CoreState core;
    core.regs = to_kvm(state.general);
    core.sregs = to_kvm(state.system, state.interrupt_bitmap);
    VSMP_TRY_ASSIGN(core.events, to_kvm(state.events, event_flags_));
    vcpu.set_cr8(state.system.cr8);
    return vcpu.set_core_state(core);
}

Result<void> VcpuTransfer::load_xsave(kvm::Vcpu& vcpu, const XsaveState& xsave,
                                      const XsaveState& before) {
    if (xsave.xcr0 != before.xcr0) {
        kvm_xcrs xcrs{};
        xcrs.nr_xcrs = 1;
        xcrs.xcrs[0].value = xsave.xcr0;
        VSMP_TRY(vcpu.set_xcrs(xcrs));
    }
    if (xsave == before) return {};
    std::vector<std::byte> area(vcpu.xsave_size());
    VSMP_TRY(expand_xsave(xsave, plan_->xsave, area));
    return vcpu.set_xsave(area);
}

Result<void> VcpuTransfer::load_msrs(kvm::Vcpu& vcpu, const VcpuState& state,
                                     const VcpuState& before) {
    for (const Msr& msr : state.msrs)
        if (!std::ranges::binary_search(plan_->msrs, msr.index))
            return Error{"MSR " + std::to_string(msr.index) + " of the vCPU is unknown here"};
    std::array<kvm_msr_entry, kMaxMsrs> entries{};
    std::size_t changed = 0;
    for (const std::uint32_t index : plan_->msrs) {
        const std::uint64_t next = msr_value(state.msrs, index);
        const std::uint64_t old = msr_value(before.msrs, index);
        if (next == old) continue;
        if (index == kMsrTscAdjust) {
            VSMP_TRY_ASSIGN(const std::uint64_t offset, vcpu.tsc_offset());
            VSMP_TRY(vcpu.set_tsc_offset(offset + (next - old)));
        }
        entries[changed].index = index;
        entries[changed].data = next;
        ++changed;
    }
    return vcpu.set_msrs(std::span{entries}.first(changed));
}

}  // namespace vsmp::shipper
