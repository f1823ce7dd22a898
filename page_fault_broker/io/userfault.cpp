#include "page_fault_broker/io/userfault.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace vsmp {
namespace {

// Newer than Debian 12's kernel headers; linux/userfaultfd.h of Linux 6.4.
constexpr std::uint64_t kContinueModeWp = std::uint64_t{1} << 1;
constexpr std::uint64_t kFeatureWpUnpopulated = std::uint64_t{1} << 13;
constexpr int kMadvCollapse = 25;  // Linux 6.1, newer than Debian 12's C library

constexpr std::uint64_t kTouches = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
constexpr std::uint64_t kTouchesAndWrites = kTouches | UFFDIO_REGISTER_MODE_WP;

// UFFD_FEATURE_WP_UNPOPULATED came with Linux 6.4, the release that also brought
// UFFDIO_CONTINUE_MODE_WP, which has no feature bit of its own: asking for the former is how the
// latter is checked for.
constexpr std::uint64_t kFeatures = UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MISSING_SHMEM |
                                    UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                    UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID;

Result<UniqueFd> open_userfaultfd() {
    UniqueFd fd{static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))};
    if (!fd && errno == EPERM) {
        // Faults of KVM itself are wanted too, so user-mode-only descriptors will not do.
        UniqueFd device{::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC)};
        if (device)
            fd = UniqueFd{::ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK)};
        if (!fd)
            return Error{
                "userfaultfd: no permission (needs root, CAP_SYS_PTRACE, access to "
                "/dev/userfaultfd or vm.unprivileged_userfaultfd=1)",
                EPERM};
    }
    if (!fd) return Error::from_errno("userfaultfd");
    return fd;
}

}  // namespace

Result<UserfaultFd> UserfaultFd::watch(std::span<std::byte> guest, coherence::LargeArea unshared) {
    VSMP_TRY_ASSIGN(UniqueFd probe, open_userfaultfd());
    uffdio_api available{.api = UFFD_API, .features = 0, .ioctls = 0};
    if (::ioctl(probe.get(), UFFDIO_API, &available) != 0) return Error::from_errno("UFFDIO_API");
    if ((available.features & kFeatures) != kFeatures ||
        (available.features & kFeatureWpUnpopulated) == 0)
        return Error{"this kernel's userfaultfd is too old: vsmp needs Linux 6.4 or newer"};

    VSMP_TRY_ASSIGN(UniqueFd fd, open_userfaultfd());
    uffdio_api api{.api = UFFD_API, .features = kFeatures, .ioctls = 0};
    if (::ioctl(fd.get(), UFFDIO_API, &api) != 0) return Error::from_errno("UFFDIO_API");
    UserfaultFd watched{std::move(fd), guest};
    const std::uint64_t pages = guest.size() / kPageSize;
    const PageNumber behind{unshared.first.value() + unshared.count};
    VSMP_TRY(watched.watch(PageNumber{0}, unshared.first.value(), kTouchesAndWrites));
    VSMP_TRY(watched.watch(unshared.first, unshared.count, kTouches));
    VSMP_TRY(watched.watch(behind, pages - behind.value(), kTouchesAndWrites));
    return watched;
}

Result<void> UserfaultFd::watch(PageNumber first, std::uint64_t count, std::uint64_t mode) {
    if (count == 0) return {};
    uffdio_register area{};
    area.range = {.start = address(first), .len = count * kPageSize};
    area.mode = mode;
    if (::ioctl(fd_.get(), UFFDIO_REGISTER, &area) != 0)
        return Error::from_errno("UFFDIO_REGISTER of guest RAM");
    return {};
}

Result<std::size_t> UserfaultFd::read(std::span<Userfault> out) {
    std::array<uffd_msg, 16> messages;
    const std::size_t room = std::min(out.size(), messages.size());
    const ssize_t size = ::read(fd_.get(), messages.data(), room * sizeof(uffd_msg));
    if (size < 0) {
        if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
        return Error::from_errno("read of userfaultfd");
    }
    const std::size_t count = static_cast<std::size_t>(size) / sizeof(uffd_msg);
    for (std::size_t i = 0; i < count; ++i) {
        const uffd_msg& message = messages[i];
        VSMP_CHECK(message.event == UFFD_EVENT_PAGEFAULT, "userfaultfd event not asked for");
        const std::uint64_t flags = message.arg.pagefault.flags;
        const std::uint64_t offset =
            message.arg.pagefault.address - reinterpret_cast<std::uint64_t>(guest_.data());
        out[i] = {PageNumber{offset / kPageSize},
                  (flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0
                      ? Access::write
                      : Access::read,
                  static_cast<pid_t>(message.arg.pagefault.feat.ptid)};
    }
    return count;
}

Result<void> UserfaultFd::map_read_only(PageNumber first, std::uint64_t count) {
    return resume(first, count, kContinueModeWp);
}

Result<void> UserfaultFd::map_writable(PageNumber first, std::uint64_t count) {
    return resume(first, count, 0);
}

Result<void> UserfaultFd::allow_write(PageNumber page) {
    const auto allowed = protect(page, 0);
    if (allowed || allowed.error().system != ENOENT) return allowed;
    return wake(page);  // writes are not watched there: nothing forbids them
}

Result<void> UserfaultFd::forbid_write(PageNumber page) {
    return protect(page, UFFDIO_WRITEPROTECT_MODE_WP);
}

Result<void> UserfaultFd::unmap(PageNumber first, std::uint64_t count) {
    // Through madvise and not through the descriptor: this is what drops the PTE, and by the MMU
    // notifier KVM's, and keeps the page-cache page. The uffd-wp marker that may stay behind is
    // replaced by the next UFFDIO_CONTINUE.
    if (::madvise(reinterpret_cast<void*>(address(first)), count * kPageSize, MADV_DONTNEED) != 0)
        return Error::from_errno("MADV_DONTNEED of guest pages");
    return {};
}

Result<void> UserfaultFd::watch_writes(PageNumber first, std::uint64_t count) {
    return watch(first, count, kTouchesAndWrites);
}

Result<void> UserfaultFd::collapse(PageNumber first) {
    if (::madvise(reinterpret_cast<void*>(address(first)), coherence::kPagesPerRange * kPageSize,
                  kMadvCollapse) != 0)
        return Error::from_errno("MADV_COLLAPSE of guest pages");
    return {};
}

Result<void> UserfaultFd::wake(PageNumber page) {
    uffdio_range range{.start = address(page), .len = kPageSize};
    if (::ioctl(fd_.get(), UFFDIO_WAKE, &range) != 0) return Error::from_errno("UFFDIO_WAKE");
    return {};
}

Result<void> UserfaultFd::resume(PageNumber first, std::uint64_t count, std::uint64_t mode) {
    std::uint64_t done = 0;
    while (done < count * kPageSize) {
        uffdio_continue arguments{};
        arguments.range.start = address(first) + done;
        arguments.range.len = count * kPageSize - done;
        arguments.mode = mode;
        if (::ioctl(fd_.get(), UFFDIO_CONTINUE, &arguments) == 0) return {};
        if (errno == EAGAIN) {  // the mapping changed meanwhile: go on behind what was done
            if (arguments.mapped > 0) done += static_cast<std::uint64_t>(arguments.mapped);
            continue;
        }
        if (errno != EEXIST) return Error::from_errno("UFFDIO_CONTINUE");
        // Mapped already, perhaps with the other protection, if there can be one: set it, which
        // also wakes.
        const PageNumber page{first.value() + done / kPageSize};
        VSMP_TRY(mode == kContinueModeWp ? forbid_write(page) : allow_write(page));
        VSMP_TRY(wake(page));
        done += kPageSize;
    }
    return {};
}

Result<void> UserfaultFd::protect(PageNumber page, std::uint64_t mode) {
    uffdio_writeprotect arguments{};
    arguments.range.start = address(page);
    arguments.range.len = kPageSize;
    arguments.mode = mode;
    while (::ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &arguments) != 0) {
        if (errno != EAGAIN) return Error::from_errno("UFFDIO_WRITEPROTECT");
    }
    return {};
}

std::uint64_t UserfaultFd::address(PageNumber page) const {
    VSMP_CHECK(page.value() < guest_.size() / kPageSize, "page beyond guest RAM");
    return reinterpret_cast<std::uint64_t>(guest_.data()) + page.value() * kPageSize;
}

}  // namespace vsmp
