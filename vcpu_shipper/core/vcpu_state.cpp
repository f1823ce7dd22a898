#include "vcpu_shipper/core/vcpu_state.hpp"

#include <algorithm>

namespace vsmp::shipper {
namespace {

Result<void> check_system(const SystemRegisters& s) {
    for (const Segment* segment : {&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.tr, &s.ldt})
        if ((segment->rights & ~kSegmentRightsMask) != 0)
            return Error{"vCPU state: reserved segment access rights"};
    if (s.cr8 > 15) return Error{"vCPU state: CR8 above 15"};
    return {};
}

// The bytes of the area that a component occupies; empty for one that may not be there.
struct Place {
    std::size_t begin = 0, end = 0;
};

Place place_of(const XsaveComponent& component) {
    const std::size_t offset = component.offset, size = component.bytes.size();
    if (component.index == 0 && (offset != 0 || size != kLegacyFpuBytes)) return {};
    if (component.index == 1 && (offset != kLegacyFpuBytes || size != kLegacySseBytes)) return {};
    if (component.index > 1 && offset < kExtendedXsaveOffset) return {};
    if (offset + size > kMaxXsaveArea) return {};
    return {offset, offset + size};
}

// Components need not be enabled in XCR0: a guest can use SSE without ever enabling XSAVE, and
// what it wrote before it cleared a bit of XCR0 is still there when it sets the bit again.
Result<void> check_xsave(const XsaveState& xsave) {
    if ((xsave.xcr0 & 1) == 0 || (xsave.xcr0 & ~kShippableXcr0) != 0)
        return Error{"vCPU state: XCR0 without x87 or with components that do not travel"};
    if (xsave.mxcsr >> 16 != 0) return Error{"vCPU state: reserved bits of MXCSR"};
    int last_index = -1;
    for (const XsaveComponent& c : xsave.components) {
        if (c.index <= last_index || c.index > 63 || (kShippableXcr0 >> c.index & 1) == 0)
            return Error{"vCPU state: XSAVE component unknown or out of order"};
        last_index = c.index;
        const Place place = place_of(c);
        if (place.begin == place.end) return Error{"vCPU state: XSAVE component out of place"};
        for (const XsaveComponent& other : xsave.components) {
            const Place taken = place_of(other);
            if (&other != &c && place.begin < taken.end && taken.begin < place.end)
                return Error{"vCPU state: XSAVE components overlap"};
        }
        const auto zero = [](std::byte b) { return b == std::byte{}; };
        if (c.index == 0 && !std::all_of(c.bytes.begin() + 24, c.bytes.begin() + 32, zero))
            return Error{"vCPU state: MXCSR inside the x87 component"};
    }
    return {};
}

Result<void> check_msrs(const std::vector<Msr>& msrs) {
    if (msrs.size() > kMaxMsrs) return Error{"vCPU state: too many MSRs"};
    for (std::size_t i = 0; i < msrs.size(); ++i) {
        if (i > 0 && msrs[i].index <= msrs[i - 1].index)
            return Error{"vCPU state: MSRs out of order"};
        if (msrs[i].value == 0) return Error{"vCPU state: MSR with value zero"};
    }
    return {};
}

}  // namespace

Result<void> validate(const VcpuState& state) {
    VSMP_TRY(check_system(state.system));
    VSMP_TRY(check_xsave(state.xsave));
    VSMP_TRY(check_msrs(state.msrs));
    if (state.events.shadow > 3) return Error{"vCPU state: unknown interrupt shadow"};
    if (state.events.nmi_pending > 2) return Error{"vCPU state: too many NMIs pending"};
    if (state.local_apic.size() > kMaxLocalApicBytes)
        return Error{"vCPU state: local APIC state too long"};
    return {};
}

}  // namespace vsmp::shipper
