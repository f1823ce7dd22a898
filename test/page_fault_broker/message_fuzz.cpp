// Any bytes: decode() accepts or refuses, and what it accepts is what encode() would have written.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "page_fault_broker/core/message.hpp"

namespace {

using namespace vsmp;

void try_decoding(ByteView bytes) {
    constexpr std::uint64_t kPages = 1 << 20;
    constexpr std::size_t kNodes = 5;
    const auto decoded = coherence::decode(bytes, kPages, kNodes);
    if (!decoded) return;
    VSMP_CHECK(decoded->message.page.value() < kPages, "page out of range");
    VSMP_CHECK(decoded->message.requester.value() < kNodes, "node out of range");
    std::array<std::byte, coherence::kMessageHeaderSize> header;
    ByteWriter writer{header};
    coherence::encode(decoded->message, writer);
    VSMP_CHECK(std::ranges::equal(header, bytes.first(header.size())), "not the same again");
    VSMP_CHECK(header.size() + decoded->contents.size() == bytes.size(), "bytes left over");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes = std::as_bytes(std::span{data, size});
    try_decoding(bytes);
    // The fuzzer hardly finds the length of a message with contents by itself.
    std::vector<std::byte> whole(bytes.begin(), bytes.end());
    whole.resize(coherence::kMessageHeaderSize + kPageSize);
    try_decoding(whole);
    return 0;
}
