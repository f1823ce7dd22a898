// Loads a Linux kernel, bzImage or ELF (vmlinux), by the 64-bit boot protocol.
// Source: Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol", and zero-page.rst.
#pragma once

#include <cstdint>
#include <string>

#include "proto/result.hpp"
#include "vmm/boot/boot_image.hpp"
#include "vmm/memory_layout.hpp"

namespace vsmp::boot {

struct LinuxBoot {
    ByteView kernel;
    ByteView initrd;  // empty: none
    std::string command_line;
    const MemoryLayout& memory;
    Gpa acpi_rsdp;
    // Added to the command line as tsc_early_khz= unless the user wrote one: the guest's TSC
    // frequency is known here, and calibrating it against emulated timers is slow and inexact.
    // 0: nothing is added.
    std::uint64_t tsc_khz = 0;
};

// Layout below 1 MiB: GDT 0x1000, zero page 0x7000, stack below 0x8ff0, page tables from 0x9000
// (the first 4 GiB), command line 0x20000. The kernel is placed at its preferred address, the
// initrd as high as its limit allows. Errors are one line that says what is wrong with which of the
// inputs.
Result<BootImage> load_linux(const LinuxBoot& boot);

}  // namespace vsmp::boot
