// Tables made from the guest's CPUs and NUMA cells: MADT, SRAT, SLIT.
#pragma once

#include <vector>

#include "vmm/acpi/acpi_tables.hpp"

namespace vsmp::acpi {

std::vector<std::byte> make_madt(const Machine& machine);
std::vector<std::byte> make_srat(const Machine& machine);
std::vector<std::byte> make_slit(const Machine& machine);

}  // namespace vsmp::acpi
