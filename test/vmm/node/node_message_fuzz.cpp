// What the decoders of node, policy and clock messages accept is the one encoding of a valid
// message.
#include <algorithm>
#include <array>

#include "vmm/node/clock_sync.hpp"
#include "vmm/node/node_message.hpp"
#include "vmm/node/policy_message.hpp"

namespace {

template <class Message>
void check_only_encoding(const std::optional<Message>& message, vsmp::ByteView bytes) {
    if (!message) return;
    std::array<std::byte, vsmp::kMaxPolicyMessage> buffer;
    vsmp::ByteWriter writer{buffer};
    using vsmp::encode;  // some messages are std::variants
    encode(*message, writer);
    VSMP_CHECK(std::ranges::equal(writer.written(), bytes), "decode accepts a second encoding");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const vsmp::ByteView bytes = std::as_bytes(std::span{data, size});
    check_only_encoding(vsmp::decode_clock_ping(bytes), bytes);
    check_only_encoding(vsmp::decode_clock_pong(bytes), bytes);
    check_only_encoding(vsmp::decode_node_message(bytes, 8), bytes);
    check_only_encoding(vsmp::decode_policy_message(bytes, 8), bytes);
    return 0;
}
