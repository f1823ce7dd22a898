// Tables that are the same for every guest: FADT, FACS, DSDT.
#pragma once

#include <cstdint>
#include <vector>

#include "proto/ids.hpp"

namespace vsmp::acpi {

std::vector<std::byte> make_facs();
std::vector<std::byte> make_dsdt();
// facs and dsdt lie below 4 GiB.
std::vector<std::byte> make_fadt(Gpa facs, Gpa dsdt);

}  // namespace vsmp::acpi
