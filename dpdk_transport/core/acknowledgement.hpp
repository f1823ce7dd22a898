// What a frame tells its receiver of what has arrived at its sender.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "proto/time.hpp"

namespace vsmp::fabric {

// Bit i of word w: the sequence 64 * w + i behind the first that is missing has arrived. Word 0 is
// in every frame's header, the others are the payload of an ack frame.
inline constexpr std::size_t kSelectiveWords = 4;
using Selective = std::array<std::uint64_t, kSelectiveWords>;
// Sequences that it covers, the missing one included.
inline constexpr std::size_t kSelectiveReach = 64 * kSelectiveWords;

constexpr bool any_bit(const Selective& words) {
    std::uint64_t bits = 0;
    for (std::uint64_t word : words) bits |= word;
    return bits != 0;
}

enum class AckScope : std::uint8_t {
    whole,
    part,  // more has arrived than the header has room for; an ack frame tells it soon
};

struct Acknowledgement {
    std::uint32_t below = 0;  // every sequence below this has arrived
    Selective selective{};
    AckScope scope = AckScope::whole;
    Duration held_back{};  // for how long the newest data frame has waited for it
    // Low 16 bits of a sequence that came a second time: a duplicate SACK (RFC 2883).
    std::optional<std::uint16_t> doubled;
};

}  // namespace vsmp::fabric
