#include "page_fault_broker/core/version.hpp"

#include <array>
#include <cstring>

namespace vsmp::coherence {
namespace {

// Any odd numbers without a pattern: fractions of the square roots of 2, 3, 5, 7 and 11.
constexpr std::array<std::uint64_t, 5> kKeys{0x6a09e667f3bcc909, 0xbb67ae8584caa73b,
                                             0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                             0x510e527fade682d1};

// Product of 128 bits, folded: every bit of both factors reaches most bits of the result.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word(const std::byte* at) {
    std::uint64_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

}  // namespace

// Four independent lanes, so that their multiplications overlap.
Version version_of(std::span<const std::byte, kPageSize> contents) {
    constexpr std::size_t kLanes = 4;
    constexpr std::size_t kStride = kLanes * 2 * sizeof(std::uint64_t);
    std::array<std::uint64_t, kLanes> lanes{kKeys[0], kKeys[1], kKeys[2], kKeys[3]};
    for (std::size_t at = 0; at < kPageSize; at += kStride) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const std::byte* pair = contents.data() + at + lane * 2 * sizeof(std::uint64_t);
            lanes[lane] = fold(word(pair) ^ kKeys[lane + 1], word(pair + 8) ^ lanes[lane]);
        }
    }
    const std::uint64_t mixed = fold(lanes[0] ^ kKeys[4], lanes[1] ^ kKeys[3]) ^
                                fold(lanes[2] ^ kKeys[2], lanes[3] ^ kKeys[1]);
    return mixed != 0 ? mixed : 1;
}

}  // namespace vsmp::coherence
