// Reads the setup header of a bzImage. Source: Linux Documentation/arch/x86/boot.rst.
#pragma once

#include <cstdint>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp::boot {

enum class Relocatable : std::uint8_t { no, yes };

struct BzImage {
    ByteView setup_header;    // from offset 0x1f1 of the file, to be copied into the zero page
    ByteView protected_mode;  // the part that is loaded
    Gpa preferred;
    std::uint64_t alignment = 0;  // of other load addresses
    Relocatable relocatable = Relocatable::no;
    std::uint64_t init_bytes = 0;        // memory needed from the load address on
    std::uint64_t command_line_max = 0;  // without the terminating zero
    std::uint64_t initrd_limit = 0;      // address above its last byte at most
};

// Errors: not a Linux kernel, protocol older than 2.12, no 64-bit entry point, file cut off.
Result<BzImage> parse_bzimage(ByteView file);

}  // namespace vsmp::boot
