// A few words of AML, enough for a DSDT without code.
// Source: ACPI 6.5, 20.2 (AML grammar), 6.4 (resource data types), 19.3.4 (EISAID).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "proto/bytes.hpp"

namespace vsmp::acpi::aml {

// Encoded terms; concatenate them with operator+.
using Aml = std::vector<std::byte>;

Aml operator+(Aml left, const Aml& right);

// `segment`: four characters, padded with underscores; relative to the scope it is used in.
Aml name(std::string_view segment, const Aml& value);
Aml scope(std::string_view segment, const Aml& terms);
Aml device(std::string_view segment, const Aml& terms);

Aml integer(std::uint64_t value);
// "PNP0501" as the 32-bit integer that _HID takes.
Aml eisa_id(std::string_view id);
Aml package(const std::vector<Aml>& elements);

// Resource descriptors, and the buffer that _CRS is made of (it adds the end tag).
Aml io_ports(std::uint16_t base, std::uint8_t count);
Aml irq(std::uint8_t number);  // edge, active high, exclusive
Aml resource_template(const Aml& descriptors);

}  // namespace vsmp::acpi::aml
