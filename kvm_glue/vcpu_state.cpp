// Reading and writing a vCPU's state: one ioctl each.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>

#include "kvm_glue/flexible.hpp"
#include "kvm_glue/ioctl.hpp"
#include "kvm_glue/vcpu.hpp"

namespace vsmp::kvm {
namespace {

template <class State>
Result<State> get(int fd, unsigned long request, const char* operation) {
    State state{};
    VSMP_TRY(control(fd, request, operation, &state));
    return state;
}

template <class State>
Result<void> set(int fd, unsigned long request, const char* operation, const State& state) {
    VSMP_TRY(control(fd, request, operation, &state));
    return {};
}

// MSRs of one ioctl; more are done in several.
constexpr std::size_t kMsrChunk = 64;
struct MsrChunk {
    PaddedCountHead head;
    std::array<kvm_msr_entry, kMsrChunk> entries{};
};
static_assert(offsetof(MsrChunk, entries) == sizeof(PaddedCountHead));

enum class MsrDirection : std::uint8_t { get, set };

// KVM processes the entries in order and returns how many it took.
Result<void> transfer(int fd, MsrDirection direction, MsrChunk& chunk) {
    const bool reading = direction == MsrDirection::get;
    const char* operation = reading ? "KVM_GET_MSRS" : "KVM_SET_MSRS";
    VSMP_TRY_ASSIGN(const int done, control(fd, reading ? kGetMsrs : kSetMsrs, operation, &chunk));
    if (static_cast<std::uint32_t>(done) == chunk.head.count) return {};
    char text[64];
    std::snprintf(text, sizeof text, "%s: MSR %#x refused", operation,
                  chunk.entries[static_cast<std::size_t>(done)].index);
    return Error{text};
}

Result<std::uint64_t> tsc_attribute(int fd, unsigned long request, const char* operation,
                                    std::uint64_t value) {
    kvm_device_attr attribute{};
    attribute.group = KVM_VCPU_TSC_CTRL;
    attribute.attr = KVM_VCPU_TSC_OFFSET;
    attribute.addr = reinterpret_cast<std::uint64_t>(&value);
    VSMP_TRY(control(fd, request, operation, &attribute));
    return value;
}

}  // namespace

Result<void> Vcpu::set_cpuid(std::span<const CpuidLeaf> leaves) {
    FlexibleBuffer<PaddedCountHead, kvm_cpuid_entry2> buffer(leaves.size());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        const CpuidLeaf& leaf = leaves[i];
        buffer.set_entry(
            i, {leaf.function, leaf.index, leaf.flags, leaf.eax, leaf.ebx, leaf.ecx, leaf.edx, {}});
    }
    VSMP_TRY(control(fd_.get(), kSetCpuid2, "KVM_SET_CPUID2", buffer.data()));
    return {};
}

Result<kvm_regs> Vcpu::regs() const {
    return get<kvm_regs>(fd_.get(), KVM_GET_REGS, "KVM_GET_REGS");
}
Result<void> Vcpu::set_regs(const kvm_regs& regs) {
    return set(fd_.get(), KVM_SET_REGS, "KVM_SET_REGS", regs);
}

Result<kvm_sregs> Vcpu::sregs() const {
    return get<kvm_sregs>(fd_.get(), KVM_GET_SREGS, "KVM_GET_SREGS");
}
Result<void> Vcpu::set_sregs(const kvm_sregs& sregs) {
    return set(fd_.get(), KVM_SET_SREGS, "KVM_SET_SREGS", sregs);
}

Result<void> Vcpu::xsave(std::span<std::byte> area) const {
    VSMP_CHECK(area.size() == xsave_size_, "an XSAVE area has xsave_size() bytes");
    // The older call fills exactly one page and is all that kernels without KVM_CAP_XSAVE2 have.
    const bool fits_a_page = xsave_size_ == sizeof(XsaveHead);
    VSMP_TRY(
        control(fd_.get(), fits_a_page ? kGetXsave : kGetXsave2, "KVM_GET_XSAVE2", area.data()));
    return {};
}
Result<void> Vcpu::set_xsave(std::span<const std::byte> area) {
    VSMP_CHECK(area.size() == xsave_size_, "an XSAVE area has xsave_size() bytes");
    VSMP_TRY(control(fd_.get(), kSetXsave, "KVM_SET_XSAVE", area.data()));
    return {};
}

Result<kvm_xcrs> Vcpu::xcrs() const {
    return get<kvm_xcrs>(fd_.get(), KVM_GET_XCRS, "KVM_GET_XCRS");
}
Result<void> Vcpu::set_xcrs(const kvm_xcrs& xcrs) {
    return set(fd_.get(), KVM_SET_XCRS, "KVM_SET_XCRS", xcrs);
}

Result<kvm_vcpu_events> Vcpu::events() const {
    return get<kvm_vcpu_events>(fd_.get(), KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS");
}
Result<void> Vcpu::set_events(const kvm_vcpu_events& events) {
    return set(fd_.get(), KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", events);
}

Result<kvm_debugregs> Vcpu::debugregs() const {
    return get<kvm_debugregs>(fd_.get(), KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS");
}
Result<void> Vcpu::set_debugregs(const kvm_debugregs& debugregs) {
    return set(fd_.get(), KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS", debugregs);
}

Result<kvm_mp_state> Vcpu::mp_state() const {
    return get<kvm_mp_state>(fd_.get(), KVM_GET_MP_STATE, "KVM_GET_MP_STATE");
}
Result<void> Vcpu::set_mp_state(const kvm_mp_state& state) {
    return set(fd_.get(), KVM_SET_MP_STATE, "KVM_SET_MP_STATE", state);
}

Result<void> Vcpu::msrs(std::span<kvm_msr_entry> entries) const {
    while (!entries.empty()) {
        const auto part = entries.first(std::min(entries.size(), kMsrChunk));
        MsrChunk chunk;
        chunk.head.count = static_cast<std::uint32_t>(part.size());
        std::copy(part.begin(), part.end(), chunk.entries.begin());
        VSMP_TRY(transfer(fd_.get(), MsrDirection::get, chunk));
        std::copy_n(chunk.entries.begin(), part.size(), part.begin());
        entries = entries.subspan(part.size());
    }
    return {};
}

Result<void> Vcpu::set_msrs(std::span<const kvm_msr_entry> entries) {
    while (!entries.empty()) {
        const auto part = entries.first(std::min(entries.size(), kMsrChunk));
        MsrChunk chunk;
        chunk.head.count = static_cast<std::uint32_t>(part.size());
        std::copy(part.begin(), part.end(), chunk.entries.begin());
        VSMP_TRY(transfer(fd_.get(), MsrDirection::set, chunk));
        entries = entries.subspan(part.size());
    }
    return {};
}

Result<std::uint64_t> Vcpu::tsc_offset() const {
    return tsc_attribute(fd_.get(), KVM_GET_DEVICE_ATTR, "KVM_GET_DEVICE_ATTR(TSC_OFFSET)", 0);
}
Result<void> Vcpu::set_tsc_offset(std::uint64_t offset) {
    VSMP_TRY(
        tsc_attribute(fd_.get(), KVM_SET_DEVICE_ATTR, "KVM_SET_DEVICE_ATTR(TSC_OFFSET)", offset));
    // A KVM that runs guest code natively without hardware help takes the value and ignores it; one
    // on a host that holds its TSC for unstable makes up another each time a vCPU is loaded.
    VSMP_TRY_ASSIGN(const std::uint64_t effective, tsc_offset());
    if (effective != offset)
        return Error{
            "this KVM does not keep the guest's TSC offset: it cannot, or its Linux holds the TSC "
            "for "
            "unstable (see dmesg)"};
    return {};
}

Result<std::uint32_t> Vcpu::tsc_khz() const {
    VSMP_TRY_ASSIGN(const int khz, control(fd_.get(), KVM_GET_TSC_KHZ, "KVM_GET_TSC_KHZ", 0));
    return static_cast<std::uint32_t>(khz);
}
Result<void> Vcpu::set_tsc_khz(std::uint32_t khz) {
    VSMP_TRY(control(fd_.get(), KVM_SET_TSC_KHZ, "KVM_SET_TSC_KHZ", std::uint64_t{khz}));
    return {};
}

}  // namespace vsmp::kvm
