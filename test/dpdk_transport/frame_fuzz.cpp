// Hostile frames: the decoder, and a link that is up and believes what it decodes. The input is a
// list of frames, each a length byte and what replaces the start of our header in a valid frame;
// the rest of a frame is payload.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/link.hpp"

namespace vsmp::fabric {
namespace {

const FrameContext kContext{0, NodeId{0}, 2, 0};

FrameHeader plausible(std::size_t payload_size) {
    FrameHeader header;
    header.kind = FrameKind::data;
    header.from = NodeId{1};
    header.to = NodeId{0};
    header.sender = LinkIncarnation{2};
    header.receiver = LinkIncarnation{1};
    header.channel = Channel::test;
    header.total = static_cast<std::uint16_t>(payload_size);
    return header;
}

std::vector<std::byte> frame_of(ByteView bytes) {
    std::vector<std::byte> frame(kHeaderSize + bytes.size());
    FrameContext other = kContext;
    other.self = NodeId{1};
    encode_frame(other, MacAddress{}, MacAddress{}, plausible(bytes.size()),
                 ByteView{frame}.subspan(kHeaderSize), frame);
    // The first byte says where the rest of the input goes: anywhere from the version on.
    if (bytes.empty()) return frame;
    const std::size_t at =
        kEthernetHeaderSize + std::to_integer<std::size_t>(bytes[0]) % kMtuOverhead;
    const std::size_t size = std::min(bytes.size() - 1, frame.size() - at);
    std::copy_n(bytes.begin() + 1, size, frame.begin() + static_cast<std::ptrdiff_t>(at));
    return frame;
}

void feed(ByteView input) {
    Link link{{NodeId{0}, NodeId{1}, LinkIncarnation{1}}, {}};
    Instant now{std::chrono::seconds(1)};
    std::size_t delivered = 0;
    const auto deliver = [&](NodeId, Channel channel, ByteView payload) {
        VSMP_CHECK(payload.size() <= kMaxPayload, "too large a payload");
        if (++delivered % 3 == 0) link.send(channel, payload.first(payload.size() / 2), {});
    };
    const auto receive = [&](ByteView frame) {
        const DecodeResult result = decode_frame(kContext, frame);
        if (const auto* foreign = std::get_if<ForeignVersion>(&result))
            link.receive_foreign(foreign->version);
        if (const auto* decoded = std::get_if<DecodedFrame>(&result))
            link.receive(0, decoded->header, decoded->payload, now, deliver);
    };
    ByteReader reader{input};
    while (!reader.at_end()) {
        const std::size_t size = reader.read<std::uint8_t>();
        receive(frame_of(reader.take(std::min(size, reader.remaining()))));
        now += std::chrono::milliseconds(size);
        link.tick(now);
        while (link.next(now) != nullptr) link.transmitted(now);
        VSMP_CHECK(link.held_back() < kStreams * LinkTiming{}.window,
                   "reorder buffer without bound");
    }
    // The input as it is, too.
    receive(input);
}

}  // namespace
}  // namespace vsmp::fabric

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    vsmp::fabric::feed(std::as_bytes(std::span{data, size}));
    return 0;
}
