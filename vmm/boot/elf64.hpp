// Reads static x86-64 ELF executables. Source: ELF-64 Object File Format 1.5; System V gABI.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp::boot {

struct Elf64 {
    struct Segment {
        Gpa at;             // physical address
        ByteView contents;  // the rest of memory_bytes is zero
        std::uint64_t memory_bytes = 0;
    };
    struct Note {
        std::string_view name;  // without the terminating zero
        std::uint32_t type = 0;
        ByteView descriptor;
    };

    std::uint64_t entry = 0;
    std::vector<Segment> segments;  // PT_LOAD, ascending, not overlapping, memory_bytes > 0
    std::vector<Note> notes;        // of PT_NOTE; an unreadable rest is ignored
};

bool is_elf(ByteView file);

// Views point into `file`. The entry point lies in one of the segments.
Result<Elf64> parse_elf64(ByteView file);

}  // namespace vsmp::boot
