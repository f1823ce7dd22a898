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
        return a.first_four() == b.first_four() && a.last_two() == b.last_two();
    }

  private:
    std::uint32_t first_four() const {
        std::uint32_t four = 0;
        std::memcpy(&four, octets.data(), sizeof four);
        return four;
    }
    std::uint16_t last_two() const {
        std::uint16_t two = 0;
        std::memcpy(&two, octets.data() + sizeof(std::uint32_t), sizeof two);
        return two;
    }
};
inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

}  // namespace vsmp::fabric
