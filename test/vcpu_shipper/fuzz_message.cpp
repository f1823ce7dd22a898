// Accepted bytes are the one encoding of a valid message; and no message makes the hand-over
// abort, whatever phase it meets.
#include <algorithm>
#include <array>

#include "vcpu_shipper/core/handover.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace vsmp;
    using namespace vsmp::shipper;
    const ByteView bytes = std::as_bytes(std::span{data, size});
    const Result<DecodedMessage> decoded = decode_message(bytes, 8);
    if (!decoded) return 0;
    std::array<std::byte, kMessageHeaderSize> buffer;
    ByteWriter writer{buffer};
    encode(decoded->message, writer);
    VSMP_CHECK(std::ranges::equal(writer.written(), bytes.first(kMessageHeaderSize)),
               "decode accepts a second encoding");
    for (const Phase phase :
         {Phase::here, Phase::leaving, Phase::sent, Phase::arriving, Phase::away}) {
        Handover state;
        state.phase = phase;
        state.peer = NodeId{1};
        state.epoch = Epoch{2};
        Event event;
        event.kind = EventKind::message;
        event.node = NodeId{1};
        event.message = decoded->message;
        (void)step(NodeId{0}, decoded->message.vcpu, state, event);
    }
    return 0;
}
