#include "dpdk_transport/core/frame.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::uint16_t kVlanIdMask = 0x0fff;

void write_big_endian(ByteWriter& to, std::uint16_t value) {
    to.write(static_cast<std::uint8_t>(value >> 8));
    to.write(static_cast<std::uint8_t>(value & 0xff));
}

std::uint16_t read_big_endian(ByteReader& from) {
    const unsigned high = from.read<std::uint8_t>();
    const unsigned low = from.read<std::uint8_t>();
    return static_cast<std::uint16_t>(high << 8 | low);
}

void write_mac(ByteWriter& to, const MacAddress& mac) {
    for (std::uint8_t octet : mac.octets) to.write(octet);
}

MacAddress read_mac(ByteReader& from) {
    MacAddress mac;
    for (std::uint8_t& octet : mac.octets) octet = from.read<std::uint8_t>();
    return mac;
}

std::optional<FrameKind> to_kind(std::uint8_t raw) {
    const auto kind = static_cast<FrameKind>(raw);
    switch (kind) {
        case FrameKind::hello:
        case FrameKind::welcome:
        case FrameKind::data:
        case FrameKind::ack:
            return kind;
    }
    return std::nullopt;
}

std::optional<Channel> to_channel(std::uint8_t raw) {
    const auto channel = static_cast<Channel>(raw);
    switch (channel) {
        case Channel::coherence:
        case Channel::vcpu:
        case Channel::locality:
        case Channel::device:
        case Channel::clock:
        case Channel::test:
            return channel;
    }
    return std::nullopt;
}

// The EtherType behind the VLAN tag that `context` asks for, if the frame has just that.
bool ethertype_is_ours(const FrameContext& context, ByteReader& reader) {
    std::uint16_t type = read_big_endian(reader);
    if (context.vlan != 0) {
        if (type != kVlanEtherType) return false;
        if ((read_big_endian(reader) & kVlanIdMask) != context.vlan) return false;
        type = read_big_endian(reader);
    }
    return reader.ok() && type == kEtherType;
}

// What the kind promises about the other fields; anything else was not made by our encoder.
bool consistent(const FrameHeader& header, std::size_t payload_size) {
    if (header.sender == LinkIncarnation{}) return false;
    switch (header.kind) {
        case FrameKind::hello:
            return payload_size == 0;
        case FrameKind::welcome:
        case FrameKind::ack:
            return payload_size == 0 && header.receiver != LinkIncarnation{};
        case FrameKind::data:
            return payload_size <= kMaxPayload && header.receiver != LinkIncarnation{};
    }
    return false;
}

}  // namespace

void encode_frame(const FrameContext& context, const MacAddress& destination,
                  const MacAddress& source, const FrameHeader& header, std::size_t payload_size,
                  ByteWriter& to) {
    VSMP_CHECK(payload_size <= kMaxPayload, "payload larger than a frame");
    write_mac(to, destination);
    write_mac(to, source);
    if (context.vlan != 0) {
        write_big_endian(to, kVlanEtherType);
        write_big_endian(to, context.vlan);
    }
    write_big_endian(to, kEtherType);
    to.write(kProtocolVersion);
    to.write(static_cast<std::uint8_t>(header.kind));
    to.write(header.from.value());
    to.write(header.to.value());
    to.write(context.guest);
    to.write(static_cast<std::uint16_t>(payload_size));
    to.write(std::uint16_t{0});
    to.write(header.sender.value());
    to.write(header.receiver.value());
    to.write(header.sequence);
    to.write(header.acknowledged);
    to.write(header.selective);
    to.write(static_cast<std::uint8_t>(header.channel));
    to.write(std::uint8_t{0});
}

DecodeResult decode_frame(const FrameContext& context, ByteView frame) {
    ByteReader reader{frame};
    DecodedFrame decoded;
    decoded.destination = read_mac(reader);
    decoded.source = read_mac(reader);
    if (!ethertype_is_ours(context, reader)) return NotOurs::other_ethertype;

    const auto version = reader.read<std::uint8_t>();
    const auto kind = to_kind(reader.read<std::uint8_t>());
    FrameHeader& header = decoded.header;
    header.from = NodeId{reader.read<std::uint8_t>()};
    header.to = NodeId{reader.read<std::uint8_t>()};
    const auto guest = reader.read<std::uint64_t>();
    if (!reader.ok()) return NotOurs::malformed;
    if (guest != context.guest) return NotOurs::other_guest;
    if (header.to != context.self) return NotOurs::other_destination;
    if (header.from.value() >= context.node_count || header.from == context.self)
        return NotOurs::malformed;
    if (version != kProtocolVersion) return ForeignVersion{header.from, version};

    const auto payload_size = reader.read<std::uint16_t>();
    const auto reserved = reader.read<std::uint16_t>();
    header.sender = LinkIncarnation{reader.read<std::uint32_t>()};
    header.receiver = LinkIncarnation{reader.read<std::uint32_t>()};
    header.sequence = reader.read<std::uint32_t>();
    header.acknowledged = reader.read<std::uint32_t>();
    header.selective = reader.read<std::uint64_t>();
    const auto raw_channel = reader.read<std::uint8_t>();
    const auto more_reserved = reader.read<std::uint8_t>();
    decoded.payload = reader.take(payload_size);
    if (!reader.ok() || !kind || reserved != 0 || more_reserved != 0) return NotOurs::malformed;
    header.kind = *kind;
    if (header.kind == FrameKind::data) {
        const auto channel = to_channel(raw_channel);
        if (!channel) return NotOurs::malformed;
        header.channel = *channel;
    } else if (raw_channel != 0 || header.sequence != 0) {
        return NotOurs::malformed;
    }
    if (!consistent(header, payload_size)) return NotOurs::malformed;
    return decoded;
}

}  // namespace vsmp::fabric
