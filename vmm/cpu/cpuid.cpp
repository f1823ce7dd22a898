// The guest's CPUID on one vCPU.
#include "vmm/cpu/cpuid.hpp"

#include <algorithm>
#include <bit>

#include "proto/check.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"
#include "vmm/cpu/cpuid_bits.hpp"

namespace vsmp::cpu {
namespace {

constexpr std::uint32_t kSignificantIndex = 1;  // KVM_CPUID_FLAG_SIGNIFCANT_INDEX
constexpr std::uint32_t kHypervisorBase = 0x40000000;

// Leaves of features that the guest does not get, or whose contents are made anew below.
bool is_left_out(const CpuidLeaf& leaf) {
    if (leaf.function >= kHypervisorBase && leaf.function < 0x50000000) return true;
    switch (leaf.function) {
        case 0x5:   // MONITOR/MWAIT
        case 0x6:   // power management
        case 0x9:   // DCA
        case 0xa:   // PMU
        case 0xb:   // topology
        case 0xf:   // resource director monitoring
        case 0x10:  // and allocation
        case 0x12:  // SGX
        case 0x14:  // PT
        case 0x15:  // TSC and crystal
        case 0x16:  // frequencies
        case 0x1a:  // hybrid
        case 0x1b:  // PCONFIG
        case 0x1c:  // LBR
        case 0x1d:  // AMX
        case 0x1e:
        case 0x1f:        // topology
        case 0x8000000a:  // SVM
        case 0x8000001b:  // IBS
        case 0x8000001c:  // LWP
        case 0x8000001e:  // topology
        case 0x8000001f:  // memory encryption
        case 0x80000020:  // resource allocation
        case 0x80000022:  // PMU
        case 0x80000023:
        case 0x80000026:  // topology
            return true;
    }
    // XSAVE components whose state does not travel.
    return leaf.function == 0xd && leaf.index >= 2 &&
           (leaf.index >= 32 || (shipper::kShippableXcr0 >> leaf.index & 1) == 0);
}

class Shaper {
  public:
    Shaper(std::span<const CpuidLeaf> common, VcpuId vcpu, const CpuidShape& shape)
        : common_(common),
          shape_(shape),
          apic_id_(vcpu.value()),
          id_bits_(static_cast<std::uint32_t>(std::bit_width(shape.vcpu_count - 1u))) {
        VSMP_CHECK(vcpu.value() < shape.vcpu_count, "the guest has no such vCPU");
        const CpuidLeaf* vendor = find_leaf(common, 0);
        max_basic_ = vendor != nullptr ? vendor->eax : 0;
        is_intel_ = vendor != nullptr && vendor->ebx == 0x756e6547;  // "Genu"
        const CpuidLeaf* extended = find_leaf(common, 0x80000000);
        max_extended_ = extended != nullptr ? extended->eax : 0;
    }

    std::vector<CpuidLeaf> take() {
        for (const CpuidLeaf& leaf : common_) {
            if (is_left_out(leaf)) continue;
            leaves_.push_back(leaf);
            reshape(leaves_.back());
        }
        add_basic();
        add_hypervisor();
        add_extended();
        std::sort(leaves_.begin(), leaves_.end(), [](const CpuidLeaf& a, const CpuidLeaf& b) {
            return std::pair(a.function, a.index) < std::pair(b.function, b.index);
        });
        return std::move(leaves_);
    }

  private:
    void reshape(CpuidLeaf& leaf) const {
        switch (leaf.function) {
            case 0x0:
                leaf.eax = std::max(max_basic_, 0xbu);
                return;
            case 0x1:
                return leaf_1(leaf);
            case 0x4:
                return caches(leaf);
            case 0x7:
                return leaf_7(leaf);
            case 0xd:
                return leaf_d(leaf);
            case 0x80000000:
                leaf.eax = std::max(max_extended_, 0x80000008u);
                return;
            case 0x80000001:
                return leaf_80000001(leaf);
            case 0x80000007:
                leaf.eax = leaf.ebx = leaf.ecx = 0;
                leaf.edx = bits::kExt7EdxInvariantTsc;
                return;
            case 0x80000008:
                // ECX: number of threads minus one, and bits of the APIC ID that tell them apart.
                leaf.ecx = is_intel_ ? 0 : (shape_.vcpu_count - 1u) | id_bits_ << 12;
                leaf.edx = 0;
                return;
            case 0x8000001d:
                leaf.eax &= ~(0xfffu << 14);  // no cache is shared
                return;
        }
    }

    void leaf_1(CpuidLeaf& leaf) const {
        const std::uint32_t threads = std::min(1u << id_bits_, 255u);
        leaf.ebx = (leaf.ebx & 0xffff) | threads << 16 | (apic_id_ & 0xff) << 24;
        leaf.ecx &= ~bits::kLeaf1EcxHidden;
        leaf.ecx |= bits::kLeaf1EcxX2apic | bits::kLeaf1EcxHypervisor;
        leaf.edx &= ~(bits::kLeaf1EdxHidden | bits::kLeaf1EdxHtt);
        leaf.edx |= bits::kLeaf1EdxApic;
        if (shape_.vcpu_count > 1) leaf.edx |= bits::kLeaf1EdxHtt;
    }

    // Every core has its caches for itself: no scheduler domain then spans nodes because of them.
    void caches(CpuidLeaf& leaf) const {
        if ((leaf.eax & 0x1f) == 0) return;
        const std::uint32_t cores = std::min((1u << id_bits_) - 1, 63u);
        leaf.eax = (leaf.eax & 0x3fff) | cores << 26;
    }

    static void leaf_7(CpuidLeaf& leaf) {
        if (leaf.index == 0) {
            leaf.ebx &= ~bits::kLeaf7EbxHidden;
            leaf.ecx &= ~bits::kLeaf7EcxHidden;
            leaf.edx &= ~bits::kLeaf7EdxHidden;
        } else if (leaf.index == 1) {
            leaf.eax &= ~bits::kLeaf71EaxHidden;
            leaf.edx &= ~bits::kLeaf71EdxHidden;
        }
    }

    void leaf_d(CpuidLeaf& leaf) const {
        if (leaf.index == 0) {
            leaf.eax &= static_cast<std::uint32_t>(shipper::kShippableXcr0);
            leaf.edx = 0;
            // ECX: size of an area with everything in it. (EBX, with what XCR0 enables, is KVM's.)
            leaf.ecx = 576;
            for (const CpuidLeaf& part : common_)
                if (part.function == 0xd && part.index >= 2 && part.index < 32 &&
                    (leaf.eax >> part.index & 1) != 0)
                    leaf.ecx = std::max(leaf.ecx, part.eax + part.ebx);
        } else if (leaf.index == 1) {
            leaf.eax &= ~bits::bit(4);  // XFD, for AMX
            leaf.ecx = leaf.edx = 0;    // IA32_XSS: no supervisor component
        }
    }

    void leaf_80000001(CpuidLeaf& leaf) const {
        leaf.ecx &= ~bits::kExt1EcxHidden;
        if (is_intel_) return;
        leaf.ecx &= ~bits::kExt1EcxCmpLegacy;
        if (has_amd_topology()) leaf.ecx |= bits::kExt1EcxTopology;
        if (shape_.vcpu_count > 1) leaf.ecx |= bits::kExt1EcxCmpLegacy;
    }

    void add_basic() {
        add({.function = 0x6, .eax = bits::kLeaf6EaxArat});
        // One thread a core, all cores in one package.
        add({.function = 0xb,
             .index = 0,
             .flags = kSignificantIndex,
             .eax = 0,
             .ebx = 1,
             .ecx = 0u | 1u << 8,
             .edx = apic_id_});
        add({.function = 0xb,
             .index = 1,
             .flags = kSignificantIndex,
             .eax = id_bits_,
             .ebx = shape_.vcpu_count,
             .ecx = 1u | 2u << 8,
             .edx = apic_id_});
        add({.function = 0xb, .index = 2, .flags = kSignificantIndex, .ecx = 2, .edx = apic_id_});

        // The crystal ticks as the TSC does, which is also the rate of our APIC timer.
        const std::uint64_t hz = shape_.tsc_khz * 1000;
        if (is_intel_ && max_basic_ >= 0x15 && hz != 0 && hz <= UINT32_MAX)
            add({.function = 0x15, .eax = 1, .ebx = 1, .ecx = static_cast<std::uint32_t>(hz)});
    }

    // The signature lets Linux use x2APIC without interrupt remapping.
    void add_hypervisor() {
        add({.function = kHypervisorBase,
             .eax = kHypervisorBase + 1,
             .ebx = 0x4b4d564b,
             .ecx = 0x564b4d56,
             .edx = 0x4d});
        add({.function = kHypervisorBase + 1, .eax = bits::kKvmFeatureNopIoDelay});
    }

    void add_extended() {
        if (find_leaf(leaves_, 0x80000007) == nullptr)
            add({.function = 0x80000007, .edx = bits::kExt7EdxInvariantTsc});
        if (has_amd_topology())
            add({.function = 0x8000001e, .eax = apic_id_, .ebx = apic_id_ & 0xff});
    }

    bool has_amd_topology() const { return !is_intel_ && max_extended_ >= 0x8000001e; }
    void add(const CpuidLeaf& leaf) { leaves_.push_back(leaf); }

    std::span<const CpuidLeaf> common_;
    CpuidShape shape_;
    std::uint32_t apic_id_;
    std::uint32_t id_bits_;  // of the APIC ID that tell vCPUs apart
    std::uint32_t max_basic_ = 0, max_extended_ = 0;
    bool is_intel_ = false;
    std::vector<CpuidLeaf> leaves_;
};

}  // namespace

const CpuidLeaf* find_leaf(std::span<const CpuidLeaf> leaves, std::uint32_t function,
                           std::uint32_t index) {
    for (const CpuidLeaf& leaf : leaves)
        if (leaf.function == function && leaf.index == index) return &leaf;
    return nullptr;
}

void set_deadline_timers(std::span<CpuidLeaf> leaves, DeadlineTimers timers) {
    for (CpuidLeaf& leaf : leaves) {
        if (leaf.function != 1) continue;
        leaf.ecx &= ~bits::kLeaf1EcxDeadline;
        if (timers == DeadlineTimers::present) leaf.ecx |= bits::kLeaf1EcxDeadline;
    }
}

std::vector<CpuidLeaf> guest_cpuid(std::span<const CpuidLeaf> common, VcpuId vcpu,
                                   const CpuidShape& shape) {
    return Shaper(common, vcpu, shape).take();
}

}  // namespace vsmp::cpu
