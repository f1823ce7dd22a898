// The frame that all ACPI tables share. Source: ACPI 6.5, 5.2.6 (system description table header).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "proto/bytes.hpp"
#include "vmm/acpi/byte_builder.hpp"

namespace vsmp::acpi {

inline constexpr std::string_view kOemId = "VSMP  ";

// Header, `body`, checksum.
std::vector<std::byte> make_table(std::string_view signature, std::uint8_t revision,
                                  const ByteBuilder& body);

// The value that makes all bytes of a range sum to 0 modulo 256.
std::uint8_t checksum_of(ByteView bytes);

}  // namespace vsmp::acpi
