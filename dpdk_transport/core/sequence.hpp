// Sequence numbers that wrap around (RFC 1982 serial numbers).
#pragma once

#include <cstdint>

namespace vsmp::fabric {

// How far `to` is ahead of `from`; negative when it is behind. Valid while the two are less than
// half the numbers apart, which the windows guarantee for our own.
inline std::int32_t sequence_distance(std::uint32_t from, std::uint32_t to) {
    return static_cast<std::int32_t>(to - from);
}
inline std::int32_t order_distance(std::uint16_t from, std::uint16_t to) {
    return static_cast<std::int16_t>(static_cast<std::uint16_t>(to - from));
}

}  // namespace vsmp::fabric
