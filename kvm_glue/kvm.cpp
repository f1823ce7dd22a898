#include "kvm_glue/kvm.hpp"

#include <fcntl.h>

#include <algorithm>

#include "kvm_glue/flexible.hpp"
#include "kvm_glue/ioctl.hpp"
#include "kvm_glue/probe.hpp"
#include "kvm_glue/vcpu.hpp"

namespace vsmp::kvm {
namespace {

// Intel without unrestricted guest keeps a TSS and an identity map in guest physical space, four
// pages that no guest memory may overlap; just below the firmware's usual place.
constexpr std::uint64_t kIdentityMapAddress = 0xfffbc000;
constexpr std::uint64_t kTssAddress = 0xfffbd000;

constexpr std::uint32_t kTscDeadlineMsr = 0x6e0;

// KVM implements the deadline MSR only together with its own local APIC, and swallows it otherwise;
// the filter hands it to us where KVM asks it (deadline_msr.hpp). (x2APIC MSRs cannot be filtered
// and need not be: without an in-kernel APIC they are unknown to KVM.)
Result<void> hand_over_msrs(int vm) {
    kvm_enable_cap capability{};
    capability.cap = KVM_CAP_X86_USER_SPACE_MSR;
    capability.args[0] =
        KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER;
    VSMP_TRY(control(vm, KVM_ENABLE_CAP, "KVM_ENABLE_CAP(X86_USER_SPACE_MSR)", &capability));

    std::uint8_t denied = 0;  // one bit per MSR: 0 denies
    kvm_msr_filter filter{};
    filter.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
    filter.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
    filter.ranges[0].base = kTscDeadlineMsr;
    filter.ranges[0].nmsrs = 1;
    filter.ranges[0].bitmap = &denied;
    VSMP_TRY(control(vm, KVM_X86_SET_MSR_FILTER, "KVM_X86_SET_MSR_FILTER", &filter));
    return {};
}

}  // namespace

Result<Kvm> Kvm::open() {
    const Facts facts = probe();
    if (usability(facts) == Usability::nothing) return Error{describe(facts)};
    UniqueFd fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!fd) return Error::from_errno("open /dev/kvm");
    return Kvm(std::move(fd));
}

int Kvm::extension(std::uint32_t capability) const {
    const int value = ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, capability);
    return value > 0 ? value : 0;
}

Result<std::vector<CpuidLeaf>> Kvm::supported_cpuid() const {
    for (std::uint32_t room = 128; room <= 4096; room *= 2) {
        FlexibleBuffer<PaddedCountHead, kvm_cpuid_entry2> buffer(room);
        auto done =
            control(fd_.get(), kGetSupportedCpuid, "KVM_GET_SUPPORTED_CPUID", buffer.data());
        if (!done && done.error().system == E2BIG) continue;
        if (!done) return done.error();

        std::vector<CpuidLeaf> leaves;
        for (std::size_t i = 0; i < buffer.count(); ++i) {
            const kvm_cpuid_entry2 e = buffer.entry(i);
            leaves.push_back({e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx});
        }
        return leaves;
    }
    return Error{"KVM_GET_SUPPORTED_CPUID: more than 4096 leaves"};
}

Result<std::vector<std::uint32_t>> Kvm::msr_indices() const {
    FlexibleBuffer<CountHead, std::uint32_t> none(0);
    auto sized = control(fd_.get(), kGetMsrIndexList, "KVM_GET_MSR_INDEX_LIST", none.data());
    if (!sized && sized.error().system != E2BIG) return sized.error();

    FlexibleBuffer<CountHead, std::uint32_t> list(none.count());
    VSMP_TRY(control(fd_.get(), kGetMsrIndexList, "KVM_GET_MSR_INDEX_LIST", list.data()));
    std::vector<std::uint32_t> indices;
    for (std::size_t i = 0; i < list.count(); ++i) indices.push_back(list.entry(i));
    return indices;
}

Result<Vm> Kvm::create_vm() const {
    VSMP_TRY_ASSIGN(const int raw, control(fd_.get(), KVM_CREATE_VM, "KVM_CREATE_VM", 0));
    UniqueFd vm(raw);
    std::uint64_t identity_map = kIdentityMapAddress;
    VSMP_TRY(
        control(vm.get(), KVM_SET_IDENTITY_MAP_ADDR, "KVM_SET_IDENTITY_MAP_ADDR", &identity_map));
    VSMP_TRY(control(vm.get(), KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR", kTssAddress));
    VSMP_TRY(hand_over_msrs(vm.get()));

    VSMP_TRY_ASSIGN(const int run_size,
                    control(fd_.get(), KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE", 0));
    const int xsave_size = ::ioctl(vm.get(), KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    return Vm(std::move(vm), static_cast<std::size_t>(run_size),
              std::max<std::size_t>(sizeof(XsaveHead),
                                    xsave_size > 0 ? static_cast<std::size_t>(xsave_size) : 0));
}

Result<void> Vm::set_memory(MemorySlot slot, Gpa gpa, std::span<std::byte> memory) {
    kvm_userspace_memory_region region{};
    region.slot = slot.value();
    region.guest_phys_addr = gpa.value();
    region.memory_size = memory.size();
    region.userspace_addr = reinterpret_cast<std::uint64_t>(memory.data());
    VSMP_TRY(control(fd_.get(), KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region));
    return {};
}

Result<Vcpu> Vm::create_vcpu(VcpuId id) {
    VSMP_TRY_ASSIGN(const int raw, control(fd_.get(), KVM_CREATE_VCPU, "KVM_CREATE_VCPU",
                                           static_cast<unsigned long>(id.value())));
    UniqueFd fd(raw);
    VSMP_TRY_ASSIGN(Mapping run, Mapping::shared(fd.get(), run_size_));
    return Vcpu(std::move(fd), std::move(run), xsave_size_);
}

}  // namespace vsmp::kvm
