#include "vcpu_shipper/io/msr_plan.hpp"

#include <algorithm>

#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::shipper {
namespace {

struct Range {
    std::uint32_t first, last;
};

// SDM vol. 4; AMD's 0xc001_xxxx: APM vol. 2, appendix A; 0x4b56_4dxx: KVM's own.
constexpr Range kStayBehind[] = {
    {0x10, 0x10},              // IA32_TIME_STAMP_COUNTER
    {0x11, 0x12},              // KVM's clock: paravirtual, hidden from the guest
    {0x1b, 0x1b},              // IA32_APIC_BASE: in the system registers
    {0x3a, 0x3a},              // IA32_FEATURE_CONTROL: firmware's, the same everywhere
    {0x8b, 0x8b},              // microcode revision
    {0x9e, 0x9e},              // SMBASE: no SMM here
    {0xc1, 0xc8},              // performance counters
    {0xce, 0xcf},              // PLATFORM_INFO, CORE_CAPABILITIES: read-only
    {0x10a, 0x10a},            // ARCH_CAPABILITIES: read-only
    {0x179, 0x179},            // MCG_CAP: read-only
    {0x186, 0x18d},            // performance event selectors
    {0x309, 0x30c},            // fixed counters
    {0x345, 0x345},            // PERF_CAPABILITIES: read-only
    {0x38d, 0x392},            // performance counter control
    {0x3f1, 0x3f2},            // PEBS
    {0x480, 0x493},            // VMX capabilities: read-only
    {0x4c1, 0x4c8},            // performance counters, full width
    {0x560, 0x58f},            // processor trace
    {0x600, 0x600},            // debug store
    {0x6e0, 0x6e0},            // IA32_TSC_DEADLINE: the local APIC's
    {0x800, 0x8ff},            // x2APIC: the local APIC's
    {0x14ce, 0x14cf},          // branch record control
    {0x40000000, 0x400001ff},  // Hyper-V's and Xen's
    {0x4b564d00, 0x4b564dff},  // KVM's: paravirtual
    {0xc0000080, 0xc0000080},  // EFER: in the system registers
    {0xc0000100, 0xc0000101},  // FS and GS base: in the system registers
    {0xc0000104, 0xc0000104},  // TSC ratio: for nested guests
    {0xc0000300, 0xc0000303},  // AMD performance monitoring v2
    {0xc0010000, 0xc0010007},  // AMD performance counters
    {0xc0010015, 0xc0010015},  // HWCR: firmware's
    {0xc0010200, 0xc001020b},  // AMD performance counters
};

// KVM keeps the memory types in MSRs that older kernels don't list.
constexpr Range kMtrrs[] = {
    {0x200, 0x20f}, {0x250, 0x250}, {0x258, 0x259}, {0x268, 0x26f}, {0x2ff, 0x2ff}};

bool readable(const kvm::Vcpu& vcpu, std::uint32_t index) {
    kvm_msr_entry entry{};
    entry.index = index;
    return static_cast<bool>(vcpu.msrs(std::span{&entry, 1}));
}

}  // namespace

bool msr_travels(std::uint32_t index) {
    return std::ranges::none_of(
        kStayBehind, [&](const Range& r) { return r.first <= index && index <= r.last; });
}

Result<std::vector<std::uint32_t>> choose_msrs(const kvm::Kvm& kvm, const kvm::Vcpu& probe) {
    VSMP_TRY_ASSIGN(std::vector<std::uint32_t> msrs, kvm.msr_indices());
    for (const Range& r : kMtrrs)
        for (std::uint32_t index = r.first; index <= r.last; ++index) msrs.push_back(index);
    std::erase_if(msrs, [&](std::uint32_t i) { return !msr_travels(i) || !readable(probe, i); });
    std::ranges::sort(msrs);
    msrs.erase(std::ranges::unique(msrs).begin(), msrs.end());
    if (msrs.size() > kMaxMsrs) return Error{"KVM has more MSRs than a vCPU state can hold"};
    return msrs;
}

}  // namespace vsmp::shipper
