#include "dpdk_transport/core/checksum.hpp"

#include <nmmintrin.h>

#include <array>
#include <cstring>

namespace vsmp::fabric {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t state = byte;
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) != 0 ? kPolynomial : 0);
        table[byte] = state;
    }
    return table;
}
constexpr auto kTable = make_table();

std::uint32_t by_table(std::uint32_t state, ByteView bytes) {
    for (std::byte byte : bytes)
        state = kTable[(state ^ std::to_integer<std::uint32_t>(byte)) & 0xff] ^ (state >> 8);
    return state;
}

__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::uint32_t state,
                                                               ByteView bytes) {
    std::uint64_t wide = state;
    while (bytes.size() >= sizeof wide) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data(), sizeof word);
        wide = _mm_crc32_u64(wide, word);
        bytes = bytes.subspan(sizeof word);
    }
    state = static_cast<std::uint32_t>(wide);
    for (std::byte byte : bytes) state = _mm_crc32_u8(state, std::to_integer<std::uint8_t>(byte));
    return state;
}

}  // namespace

void Checksum::add(ByteView bytes) {
    state_ =
        __builtin_cpu_supports("sse4.2") ? by_instruction(state_, bytes) : by_table(state_, bytes);
}

}  // namespace vsmp::fabric
