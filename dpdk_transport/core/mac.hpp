// Ethernet address.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vsmp::fabric {

struct MacAddress {
    std::array<std::uint8_t, 6> octets{};
    friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
    // For each frame; std::array's own calls memcmp.
    friend bool operator==(const MacAddress& a, const MacAddress& b) {
        return a.first_four() == b.first_four() && a.last_four() == b.last_four();
    }

  private:
    std::uint32_t first_four() const { return four_from(0); }
    std::uint32_t last_four() const { return four_from(2); }
    std::uint32_t four_from(std::size_t at) const {
        std::uint32_t four = 0;
        std::memcpy(&four, octets.data() + at, sizeof four);
        return four;
    }
};
inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

}  // namespace vsmp::fabric
