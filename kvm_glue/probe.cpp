#include "kvm_glue/probe.hpp"

#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>

#include "proto/fd.hpp"

namespace vsmp::kvm {
namespace {

// Debian 12's headers are Linux 6.1's.
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

struct Capability {
    std::uint32_t number;
    const char* name;
};
constexpr Capability kRequired[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_SYNC_MMU, "KVM_CAP_SYNC_MMU"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_USER_NMI, "KVM_CAP_USER_NMI"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
    {KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
    {KVM_CAP_XCRS, "KVM_CAP_XCRS"},
    {KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS"},
    {KVM_CAP_GET_TSC_KHZ, "KVM_CAP_GET_TSC_KHZ"},
    {KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR"},
    {KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER"},
};

constexpr KernelVersion kOldestKernel{6, 4};

void check_kernel(Facts& facts) {
    utsname names{};
    if (::uname(&names) != 0) return facts.missing.push_back("the kernel's version (uname failed)");
    facts.kernel_release = names.release;
    const auto version = parse_kernel_release(facts.kernel_release);
    if (!version || *version < kOldestKernel)
        facts.missing.push_back("Linux 6.4 or newer (this is " + facts.kernel_release + ")");
}

// The kernel can be built without userfaultfd, or keep it to itself (vm.unprivileged_userfaultfd).
UniqueFd open_userfaultfd() {
    const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    const UniqueFd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
    if (!device) return UniqueFd();
    return UniqueFd(::ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
}

void check_userfaultfd(Facts& facts) {
    const UniqueFd fd = open_userfaultfd();
    if (!fd)
        return facts.missing.push_back(
            "userfaultfd (run as root, or set vm.unprivileged_userfaultfd=1)");
    uffdio_api api{};
    api.api = UFFD_API;
    if (::ioctl(fd.get(), UFFDIO_API, &api) != 0)
        return facts.missing.push_back("a userfaultfd that this program understands");
    struct Feature {
        std::uint64_t bit;
        const char* name;
    };
    // UFFDIO_CONTINUE_MODE_WP has no feature bit of its own; WP_UNPOPULATED came with it, in 6.4.
    constexpr Feature kFeatures[] = {
        {UFFD_FEATURE_PAGEFAULT_FLAG_WP, "write protection"},
        {UFFD_FEATURE_MISSING_SHMEM, "missing faults on shared memory"},
        {UFFD_FEATURE_MINOR_SHMEM, "minor faults on shared memory"},
        {UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "write protection of shared memory"},
        {UFFD_FEATURE_WP_UNPOPULATED, "write-protected UFFDIO_CONTINUE"},
    };
    for (const Feature& feature : kFeatures)
        if ((api.features & feature.bit) == 0)
            facts.missing.push_back(std::string("userfaultfd's ") + feature.name);
}

bool parameter_is_on(const std::filesystem::path& parameter) {
    char value = 'N';
    std::ifstream(parameter) >> value;
    return value == 'Y' || value == '1';
}

void find_paging(Facts& facts) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/sys/module", ignored)) {
        const std::string name = entry.path().filename();
        if (!name.starts_with("kvm_")) continue;
        const bool nested =
            (name == "kvm_amd" && parameter_is_on(entry.path() / "parameters/npt")) ||
            (name == "kvm_intel" && parameter_is_on(entry.path() / "parameters/ept"));
        if (!facts.kvm_module.empty() && !nested) continue;
        facts.kvm_module = name;
        facts.paging = nested ? Paging::nested : Paging::shadow;
    }
}

std::uint64_t host_tsc_khz(int kvm) {
    const UniqueFd vm(::ioctl(kvm, KVM_CREATE_VM, 0));
    const UniqueFd vcpu(vm ? ::ioctl(vm.get(), KVM_CREATE_VCPU, 0) : -1);
    const int khz = vcpu ? ::ioctl(vcpu.get(), KVM_GET_TSC_KHZ, 0) : 0;
    return khz > 0 ? static_cast<std::uint64_t>(khz) : 0;
}

void check_kvm(Facts& facts) {
    const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm && errno == ENOENT)
        return facts.missing.push_back(
            "/dev/kvm (load kvm_intel or kvm_amd; in a VM, enable nested virtualization)");
    if (!kvm && (errno == EACCES || errno == EPERM))
        return facts.missing.push_back(
            "permission to open /dev/kvm (be root or in its group, usually 'kvm')");
    if (!kvm) return facts.missing.push_back(Error::from_errno("a usable /dev/kvm, open").message);

    const int version = ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return facts.missing.push_back("KVM API version " + std::to_string(KVM_API_VERSION) +
                                       " (this one has " + std::to_string(version) + ")");
    for (const Capability& capability : kRequired)
        if (::ioctl(kvm.get(), KVM_CHECK_EXTENSION, capability.number) <= 0)
            facts.missing.push_back(capability.name);
    facts.tsc_khz = host_tsc_khz(kvm.get());
    if (facts.tsc_khz == 0) facts.missing.push_back("a known TSC frequency");
}

}  // namespace

std::optional<KernelVersion> parse_kernel_release(std::string_view release) {
    KernelVersion version;
    const char* end = release.data() + release.size();
    const auto major = std::from_chars(release.data(), end, version.major);
    if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') return std::nullopt;
    const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
    if (minor.ec != std::errc{}) return std::nullopt;
    return version;
}

Facts probe() {
    Facts facts;
    check_kernel(facts);
    check_userfaultfd(facts);
    check_kvm(facts);
    find_paging(facts);
    return facts;
}

Usability usability(const Facts& facts) {
    if (!facts.missing.empty()) return Usability::nothing;
    switch (facts.paging) {
        case Paging::nested:
            return Usability::everything;
        case Paging::shadow:
            return Usability::single_node;
    }
    return Usability::nothing;
}

std::string describe(const Facts& facts) {
    switch (usability(facts)) {
        case Usability::nothing: {
            std::string text = "this host cannot run vsmp, it lacks: ";
            for (std::size_t i = 0; i < facts.missing.size(); ++i)
                text += (i == 0 ? "" : "; ") + facts.missing[i];
            return text;
        }
        case Usability::single_node:
            return "this host's KVM (" + facts.kvm_module +
                   ") shadows guest page tables in software, without NPT or EPT: an operating "
                   "system cannot span nodes here, only a single node or a micro-guest can run";
        case Usability::everything:
            return "Linux " + facts.kernel_release + ", " + facts.kvm_module +
                   " with nested paging";
    }
    return {};
}

}  // namespace vsmp::kvm
