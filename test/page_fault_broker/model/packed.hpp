// A World in 48 bytes, exactly: two worlds are equal when their packed forms are.
#pragma once

#include <array>
#include <cstdint>

#include "world.hpp"

namespace vsmp::coherence::model {

using Packed = std::array<std::uint64_t, 6>;

Packed pack(const Model& model, const World& world);
World unpack(const Model& model, const Packed& packed);
std::uint64_t hash(const Packed& packed);

}  // namespace vsmp::coherence::model
