// Page tables that map virtual to the same physical addresses with 2 MiB pages. Accessed and dirty
// bits are preset, so that no page walk needs to write them.
// Source: SDM vol. 3A 4.5.4.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/ids.hpp"

namespace vsmp::boot {

enum class MapFor : std::uint8_t { supervisor, user };

struct MapRange {
    Gpa begin;
    std::uint64_t bytes = 0;
};

// Bytes of the tables for the ranges, which are ascending, apart and below 512 GiB; each is
// widened to whole 2 MiB. The PML4 comes first and lies at `at`.
std::vector<std::byte> make_identity_map(Gpa at, std::span<const MapRange> ranges, MapFor whom);

}  // namespace vsmp::boot
