// The ACPI tables that tell a guest about its machine, as bytes ready to be put in its memory.
// Source: ACPI specification 6.5; each builder names its section.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "vmm/memory_layout.hpp"

namespace vsmp::acpi {

// The tables fit here, below 1 MiB, where the e820 map says reserved.
inline constexpr Gpa kTablesBase{0xe0000};
inline constexpr std::uint64_t kTablesLimit = 0x20000;  // bytes

struct Machine {
    struct Cpu {
        std::uint32_t apic_id = 0;
        NodeId cell;
    };
    std::vector<Cpu> cpus;          // boot processor first
    std::vector<CellRange> memory;  // MemoryLayout::cell_ranges()
    // SLIT, [from][to], 10 on the diagonal; empty: no SLIT.
    std::vector<std::vector<std::uint8_t>> distances;
};

struct Tables {
    Gpa rsdp;  // for boot_params.acpi_rsdp_addr; equals the start of `bytes`
    std::vector<std::byte> bytes;
};

// Errors: no CPU, a distance matrix that is not square or has a wrong diagonal, tables larger than
// kTablesLimit. `at` must be 64-byte aligned.
Result<Tables> build_tables(const Machine& machine, Gpa at = kTablesBase);

}  // namespace vsmp::acpi
