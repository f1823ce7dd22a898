#include "page_fault_broker/io/guest_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vsmp {

namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;  // PMD_SIZE of x86-64

}  // namespace

GuestMemory::GuestMemory(UniqueFd fd, Mapping reserved, std::span<std::byte> guest, Mapping alias)
    : fd_(std::move(fd)), reserved_(std::move(reserved)), guest_(guest), alias_(std::move(alias)) {}

Result<GuestMemory> GuestMemory::create(std::uint64_t page_count, PageSizes sizes) {
    const std::size_t size = page_count * kPageSize;
    UniqueFd fd{::memfd_create("vsmp-guest-ram", MFD_CLOEXEC)};
    if (!fd) return Error::from_errno("memfd_create of guest RAM");
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        return Error::from_errno("ftruncate of guest RAM");
    VSMP_TRY_ASSIGN(Mapping reserved, Mapping::shared(-1, size + kLargePage));
    const std::size_t skipped =
        (kLargePage - reinterpret_cast<std::uintptr_t>(reserved.data()) % kLargePage) % kLargePage;
    const std::span<std::byte> guest = reserved.bytes().subspan(skipped, size);
    if (::mmap(guest.data(), size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
               fd.get(), 0) == MAP_FAILED)
        return Error::from_errno("mmap of guest RAM at a multiple of 2 MiB");
    VSMP_TRY_ASSIGN(Mapping alias, Mapping::shared(fd.get(), size));
    // Coherence is by 4 KiB page: large pages are made where nobody shares, and by nobody else.
    if (sizes == PageSizes::small) ::madvise(guest.data(), size, MADV_NOHUGEPAGE);
    // A core dump of guest RAM helps nobody, and a child must not inherit it.
    ::madvise(guest.data(), size, MADV_DONTDUMP);
    ::madvise(guest.data(), size, MADV_DONTFORK);
    return GuestMemory{std::move(fd), std::move(reserved), guest, std::move(alias)};
}

std::span<std::byte, kPageSize> GuestMemory::contents(PageNumber page) const {
    VSMP_CHECK(page.value() < page_count(), "page beyond guest RAM");
    return alias_.bytes().subspan(page.value() * kPageSize).first<kPageSize>();
}

Result<void> GuestMemory::fill(PageNumber page, ByteView contents) {
    VSMP_CHECK(page.value() < page_count() && contents.size() == kPageSize, "no page of guest RAM");
    const ssize_t size = ::pwrite(fd_.get(), contents.data(), kPageSize,
                                  static_cast<off_t>(page.value() * kPageSize));
    if (size < 0) return Error::from_errno("pwrite to guest RAM");
    VSMP_CHECK(size == kPageSize, "part of a page was written");
    return {};
}

Result<void> GuestMemory::discard(PageNumber first, std::uint64_t count) {
    VSMP_CHECK(count <= page_count() && first.value() <= page_count() - count,
               "pages beyond guest RAM");
    if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(first.value() * kPageSize),
                    static_cast<off_t>(count * kPageSize)) != 0)
        return Error::from_errno("fallocate(FALLOC_FL_PUNCH_HOLE) of guest RAM");
    return {};
}

Result<void> GuestMemory::retire() {
    if (::ftruncate(fd_.get(), 0) != 0) return Error::from_errno("ftruncate of guest RAM to 0");
    return {};
}

Result<std::uint64_t> GuestMemory::resident_pages() const {
    constexpr std::uint64_t kBlock = 512;  // of st_blocks, stat(2)
    struct stat facts {};
    if (::fstat(fd_.get(), &facts) != 0) return Error::from_errno("fstat of guest RAM");
    return static_cast<std::uint64_t>(facts.st_blocks) * kBlock / kPageSize;
}

bool is_zero(std::span<const std::byte, kPageSize> contents) {
    // A page starts with a zero byte and equals itself shifted by one: all its bytes are zero.
    return contents[0] == std::byte{0} &&
           std::memcmp(contents.data(), contents.data() + 1, kPageSize - 1) == 0;
}

}  // namespace vsmp
