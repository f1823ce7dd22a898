// What a loader leaves: bytes to put into guest memory and the vCPUs' first registers.
#pragma once

#include <vector>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "vmm/boot/boot_state.hpp"

namespace vsmp::boot {

// Guest memory not covered by a write stays zero. Writes do not overlap and lie in RAM, each in
// one MemorySlot.
struct GuestWrite {
    Gpa at;
    ByteView bytes;
};

// Moves only: `writes` points into `owned`, and into the kernel and initrd given to the loader,
// which must outlive it.
struct BootImage {
    BootImage() = default;
    BootImage(BootImage&&) = default;
    BootImage& operator=(BootImage&&) = default;

    void add(Gpa at, ByteView bytes) { writes.push_back({at, bytes}); }
    void add(Gpa at, std::vector<std::byte> bytes) {
        owned.push_back(std::move(bytes));
        writes.push_back({at, owned.back()});
    }

    std::vector<GuestWrite> writes;
    // The vCPUs that start at once, vCPU 0 first; all others wait for INIT and SIPI.
    std::vector<BootState> start;
    std::vector<std::vector<std::byte>> owned;
};

}  // namespace vsmp::boot
