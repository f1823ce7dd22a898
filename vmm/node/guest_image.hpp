// What node 0's memory and the first vCPUs begin with: kernel, initrd, ACPI tables and boot
// parameters. Pure: vsmp-run makes one to see whether the files are any good before it starts a
// node, node 0 to run it.
#pragma once

#include <span>

#include "vmm/boot/boot_image.hpp"
#include "vmm/memory_layout.hpp"
#include "vmm/node/node.hpp"

namespace vsmp {

struct ImageSource {
    const GuestConfig& guest;
    GuestKind kind{};
    ByteView kernel, initrd;  // outlive the image
    // Of the hosts; vsmp-run does not know them yet when it checks the files.
    std::span<const CpuidLeaf> cpuid;
    std::uint64_t tsc_khz = 0;
};

// Everything must lie in the memory that node 0 contributes; the error says what does not, or what
// is wrong with which file.
Result<boot::BootImage> make_guest_image(const ImageSource& from, const MemoryLayout& layout);

// Whether make_guest_image() can succeed for the guest's memory.
Result<void> check_guest_image(const ImageSource& from);

}  // namespace vsmp
