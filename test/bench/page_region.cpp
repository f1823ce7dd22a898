#include "test/bench/page_region.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace vsmp::bench {
namespace {

constexpr int kMadvCollapse = 25;  // newer than Debian 12's C library

uffdio_range range_of(std::span<std::byte> memory) {
    return {.start = reinterpret_cast<std::uint64_t>(memory.data()), .len = memory.size()};
}

constexpr std::uint64_t kFetched = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR;
constexpr std::uint64_t kAll = kFetched | UFFDIO_REGISTER_MODE_WP;

Result<void> watch(int fd, std::span<std::byte> memory, std::uint64_t mode) {
    uffdio_register area{.range = range_of(memory), .mode = mode, .ioctls = 0};
    if (::ioctl(fd, UFFDIO_REGISTER, &area) != 0) return Error::from_errno("UFFDIO_REGISTER");
    return {};
}

Result<UniqueFd> userfaultfd_for(std::span<std::byte> memory, std::uint64_t mode) {
    UniqueFd fd{static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK))};
    if (!fd) return Error::from_errno("userfaultfd");
    uffdio_api api{.api = UFFD_API,
                   .features = UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MISSING_SHMEM |
                               UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
                   .ioctls = 0};
    if (::ioctl(fd.get(), UFFDIO_API, &api) != 0) return Error::from_errno("UFFDIO_API");
    VSMP_TRY(watch(fd.get(), memory, mode));
    return fd;
}

// Registers 2 MiB that are mapped page by page, and collapses them then.
Result<bool> collapses_under(std::uint64_t mode) {
    VSMP_TRY_ASSIGN(const AlignedMemory memory, AlignedMemory::create(kLargePage));
    VSMP_TRY_ASSIGN(const UniqueFd fd, userfaultfd_for(memory.bytes, mode));
    if (!collapse(memory.bytes)) return false;
    VSMP_TRY_ASSIGN(const std::size_t large, mapped_large(memory.bytes.data()));
    return large == kLargePage;
}

// Registers 2 MiB that are mapped at once.
Result<bool> registering_keeps_it(std::uint64_t mode) {
    VSMP_TRY_ASSIGN(const AlignedMemory memory, AlignedMemory::create(kLargePage));
    VSMP_TRY(collapse(memory.bytes));
    VSMP_TRY_ASSIGN(const UniqueFd fd, userfaultfd_for(memory.bytes, mode));
    VSMP_TRY_ASSIGN(const std::size_t large, mapped_large(memory.bytes.data()));
    return large == kLargePage;
}

// One UFFDIO_CONTINUE of 2 MiB that are one page in memory.
Result<bool> continue_maps_large() {
    VSMP_TRY_ASSIGN(const AlignedMemory memory, AlignedMemory::create(kLargePage));
    VSMP_TRY(collapse(memory.bytes));
    VSMP_TRY_ASSIGN(const UniqueFd fd, userfaultfd_for(memory.bytes, UFFDIO_REGISTER_MODE_MINOR));
    if (::madvise(memory.bytes.data(), kLargePage, MADV_DONTNEED) != 0)
        return Error::from_errno("MADV_DONTNEED");
    uffdio_continue all{};
    all.range = range_of(memory.bytes);
    if (::ioctl(fd.get(), UFFDIO_CONTINUE, &all) != 0) return Error::from_errno("UFFDIO_CONTINUE");
    VSMP_TRY_ASSIGN(const std::size_t large, mapped_large(memory.bytes.data()));
    return large == kLargePage;
}

// Three ranges of 2 MiB, mapped large while writes are not watched; then the one in the middle is
// to be shared: writes are watched there as well, and a page of it is write-protected. The others
// must stay as they are.
Result<bool> splits_on_demand() {
    VSMP_TRY_ASSIGN(const AlignedMemory memory, AlignedMemory::create(3 * kLargePage));
    VSMP_TRY_ASSIGN(const UniqueFd fd, userfaultfd_for(memory.bytes, kFetched));
    VSMP_TRY(collapse(memory.bytes));
    const std::span<std::byte> shared = memory.bytes.subspan(kLargePage, kLargePage);
    VSMP_TRY(watch(fd.get(), shared, kAll));
    if (::madvise(shared.data(), shared.size(), MADV_DONTNEED) != 0)
        return Error::from_errno("MADV_DONTNEED");
    uffdio_writeprotect protect{.range = range_of(shared.first(kPageSize)),
                                .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    if (::ioctl(fd.get(), UFFDIO_WRITEPROTECT, &protect) != 0) return false;
    std::size_t large = 0;
    for (std::size_t range = 0; range < 3; ++range) {
        VSMP_TRY_ASSIGN(const std::size_t here,
                        mapped_large(memory.bytes.data() + range * kLargePage));
        large += here;
    }
    VSMP_TRY_ASSIGN(const std::size_t split, mapped_large(shared.data()));
    return split == 0 && large == 2 * kLargePage;
}

}  // namespace

Result<AlignedMemory> AlignedMemory::create(std::size_t size) {
    VSMP_TRY_ASSIGN(Mapping mapping, Mapping::shared(-1, size + kLargePage));
    const auto begin = reinterpret_cast<std::uint64_t>(mapping.data());
    const std::size_t skipped = (kLargePage - begin % kLargePage) % kLargePage;
    const std::span<std::byte> bytes = mapping.bytes().subspan(skipped, size);
    // Mapped anew: the offset in the file must be a multiple of 2 MiB as well.
    if (::mmap(bytes.data(), size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
               -1, 0) == MAP_FAILED)
        return Error::from_errno("mmap at a multiple of 2 MiB");
    std::memset(bytes.data(), 1, size);  // zeros that were never written would be no pages
    std::memset(bytes.data(), 0, size);
    return AlignedMemory{std::move(mapping), bytes};
}

Result<void> collapse(std::span<std::byte> memory) {
    if (::madvise(memory.data(), memory.size(), kMadvCollapse) != 0)
        return Error::from_errno("MADV_COLLAPSE");
    return {};
}

Result<std::size_t> mapped_large(const std::byte* address) {
    std::ifstream smaps("/proc/self/smaps");
    bool found = false;
    for (std::string line; std::getline(smaps, line);) {
        unsigned long begin = 0, end = 0, kib = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
            const auto at = reinterpret_cast<std::uint64_t>(address);
            found = at >= begin && at < end;
        } else if (found && std::sscanf(line.c_str(), "ShmemPmdMapped: %lu kB", &kib) == 1) {
            return std::size_t{kib} << 10;
        }
    }
    return Error{"/proc/self/smaps does not tell ShmemPmdMapped"};
}

Result<SmallPages> SmallPages::create(std::size_t bytes) {
    VSMP_TRY_ASSIGN(GuestMemory memory, GuestMemory::create(bytes / kPageSize));
    std::memset(memory.alias().data(), 1, bytes);
    std::memset(memory.alias().data(), 0, bytes);
    VSMP_TRY_ASSIGN(UserfaultFd userfault, UserfaultFd::watch({memory.guest_base(), bytes}));
    VSMP_TRY(userfault.map_writable(PageNumber{0}, bytes / kPageSize));
    return SmallPages{std::move(memory), std::move(userfault)};
}

Result<std::vector<Fact>> try_large_pages() {
    VSMP_TRY_ASSIGN(const bool continues, continue_maps_large());
    VSMP_TRY_ASSIGN(const bool fetched, collapses_under(kFetched));
    VSMP_TRY_ASSIGN(const bool all, collapses_under(kAll));
    VSMP_TRY_ASSIGN(const bool kept, registering_keeps_it(kAll));
    VSMP_TRY_ASSIGN(const bool splits, splits_on_demand());
    return std::vector<Fact>{
        {"continue_maps_large", "UFFDIO_CONTINUE maps 2 MiB at once", continues},
        {"collapses_missing_minor", "collapses while missing and minor faults are watched",
         fetched},
        {"collapses_missing_minor_wp", "collapses while writes are watched, too", all},
        {"registering_keeps_large", "stays 2 MiB when all three begin to be watched", kept},
        {"splits_on_demand", "splits alone when it begins to be shared", splits}};
}

}  // namespace vsmp::bench
