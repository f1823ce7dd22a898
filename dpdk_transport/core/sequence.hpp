// 32-bit sequence numbers that wrap around (RFC 1982 serial numbers).
#pragma once

#include <cstdint>

namespace vsmp::fabric {

// How far `to` is ahead of `from`; negative when it is behind. Valid while the two are less than
// 2^31 apart, which the windows guarantee for our own numbers.
inline std::int32_t sequence_distance(std::uint32_t from, std::uint32_t to) {
    return static_cast<std::int32_t>(to - from);
}

}  // namespace vsmp::fabric
