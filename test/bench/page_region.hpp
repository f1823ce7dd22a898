// Memory to touch, mapped with pages of one size or the other, and what this kernel does with large
// pages under a userfaultfd.
#pragma once

#include <span>
#include <vector>

#include "page_fault_broker/io/guest_memory.hpp"
#include "page_fault_broker/io/userfault.hpp"
#include "proto/result.hpp"

namespace vsmp::bench {

inline constexpr std::size_t kLargePage = std::size_t{2} << 20;  // PMD_SIZE of x86-64

// Shared memory (shmem, as a memfd is) at an address that is a multiple of 2 MiB.
struct AlignedMemory {
    Mapping mapping;
    std::span<std::byte> bytes;
    // `size`, a multiple of 2 MiB, all of it written, in 4 KiB pages.
    static Result<AlignedMemory> create(std::size_t size);
};

// MADV_COLLAPSE (Linux 6.1): replaces 4 KiB pages by 2 MiB pages now, whatever sysfs says.
Result<void> collapse(std::span<std::byte> memory);

// Bytes that /proc/self/smaps counts as mapped with 2 MiB, of the mapping that has `address`.
Result<std::size_t> mapped_large(const std::byte* address);

// As guest memory is mapped: registered with a userfaultfd, each page by UFFDIO_CONTINUE.
struct SmallPages {
    GuestMemory memory;
    UserfaultFd userfault;
    static Result<SmallPages> create(std::size_t bytes);
    std::span<std::byte> bytes() const {
        return {memory.guest_base(), memory.page_count() * kPageSize};
    }
};

// What can be told of a kernel by trying; `name` is for JSON.
struct Fact {
    const char* name;
    const char* text;
    bool holds;
};
Result<std::vector<Fact>> try_large_pages();

}  // namespace vsmp::bench
