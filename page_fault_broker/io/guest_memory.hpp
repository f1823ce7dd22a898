// This node's copy of guest RAM: one sparse memfd, mapped twice.
//
// The guest mapping is what KVM maps into the guest; userfaultfd watches it and takes and gives
// pages there. The alias mapping shows the same pages unwatched: the broker reads and writes
// contents through it, and so never faults on itself.
#pragma once

#include <span>

#include "proto/bytes.hpp"
#include "proto/fd.hpp"
#include "proto/ids.hpp"

namespace vsmp {

// Whether large pages may be made in the guest mapping.
enum class PageSizes : std::uint8_t { small, also_large };

class GuestMemory {
  public:
    // Virtual size only: pages are allocated as they are first written. The guest mapping is
    // aligned to 2 MiB, and so is what is mapped to it.
    static Result<GuestMemory> create(std::uint64_t page_count, PageSizes sizes = PageSizes::small);

    std::uint64_t page_count() const { return guest_.size() / kPageSize; }
    // Start of the guest mapping; page n is at n * kPageSize. Not to be touched by the data plane.
    std::byte* guest_base() const { return guest_.data(); }
    // Contents of a page, through the alias. Reading a page never written allocates it.
    std::span<std::byte, kPageSize> contents(PageNumber page) const;
    // For a page that has no memory yet: cheaper than through the alias, which would fault first.
    Result<void> fill(PageNumber page, ByteView contents);
    // Gives the pages' memory back to the host: they then read as zero, and no mapping has them.
    Result<void> discard(PageNumber first, std::uint64_t count = 1);
    // The end: all contents are gone, and from now on nobody gets a page any more: whoever touches
    // one through either mapping has an error (EFAULT, or SIGBUS in user space) and allocates
    // nothing. To be done before the userfaultfd is closed, or those who wait there would go on
    // with new pages of zeros.
    Result<void> retire();
    // Pages that the kernel counts for this guest on this node, by fstat(2).
    Result<std::uint64_t> resident_pages() const;
    std::span<std::byte> alias() const { return alias_.bytes(); }

  private:
    GuestMemory(UniqueFd fd, Mapping reserved, std::span<std::byte> guest, Mapping alias);

    UniqueFd fd_;
    Mapping reserved_;  // has the guest mapping inside
    std::span<std::byte> guest_;
    Mapping alias_;
};

bool is_zero(std::span<const std::byte, kPageSize> contents);

}  // namespace vsmp
