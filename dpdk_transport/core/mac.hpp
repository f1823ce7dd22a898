// Ethernet address.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace vsmp::fabric {

struct MacAddress {
    std::array<std::uint8_t, 6> octets{};
    friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};
inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

}  // namespace vsmp::fabric
