// Guests whose tables the tests look at.
#pragma once

#include <array>

#include "vmm/acpi/acpi_tables.hpp"

namespace vsmp::acpi {

// Two cells of 2 GiB, so that the second one lies on both sides of the MMIO hole.
inline Machine two_cells(std::uint16_t cpus) {
    const std::array<std::uint64_t, 2> cells{2ull << 30, 2ull << 30};
    Machine machine;
    for (std::uint16_t i = 0; i < cpus; ++i)
        machine.cpus.push_back({i, NodeId{static_cast<std::uint8_t>(i % 2)}});
    machine.memory = (*MemoryLayout::create(cells)).cell_ranges();
    machine.distances = {{10, 20}, {20, 10}};
    return machine;
}

}  // namespace vsmp::acpi
