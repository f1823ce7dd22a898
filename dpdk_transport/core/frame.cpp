#include "dpdk_transport/core/frame.hpp"

#include "dpdk_transport/core/checksum.hpp"

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
        case FrameKind::probe:
        case FrameKind::probe_ack:
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
        case Channel::page:
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

// Flags; all other bits are zero.
constexpr std::uint8_t kHasChecksum = 1, kIsSealed = 2, kAnswerNow = 4, kNamesDouble = 8,
                       kPartOfAck = 16;
constexpr std::uint8_t kAllFlags =
    kHasChecksum | kIsSealed | kAnswerNow | kNamesDouble | kPartOfAck;

std::uint8_t flags_of(const FrameContext& context, const FrameHeader& header) {
    unsigned flags = header.answer == AckUrgency::now ? kAnswerNow : 0;
    if (header.doubled) flags |= kNamesDouble;
    if (header.scope == AckScope::part) flags |= kPartOfAck;
    switch (context.integrity) {
        case Integrity::none:
            break;
        case Integrity::checksum:
            flags |= kHasChecksum;
            break;
        case Integrity::sealed:
            flags |= kIsSealed;
            break;
    }
    return static_cast<std::uint8_t>(flags);
}

// What the kind promises about the other fields; anything else was not made by our encoder.
bool consistent(const FrameHeader& header, std::size_t payload_size) {
    if (header.sender == LinkIncarnation{}) return false;
    if (header.kind != FrameKind::hello && header.receiver == LinkIncarnation{}) return false;
    if (header.kind == FrameKind::data) {
        if (payload_size == 0 && header.total != 0) return false;
        return header.total <= kMaxPayload && header.offset + payload_size <= header.total;
    }
    if (header.sequence != 0 || header.order != 0 || header.behind != 0 || header.offset != 0)
        return false;
    switch (header.kind) {
        case FrameKind::hello:
        case FrameKind::welcome:
        case FrameKind::probe_ack:
            return payload_size == 0 && header.mtu != 0;
        case FrameKind::probe:
            return header.mtu != 0;
        case FrameKind::ack:
            return payload_size < kSelectiveReach / 8 &&
                   payload_size % sizeof(std::uint64_t) == 0 && header.scope == AckScope::whole;
        case FrameKind::data:
            break;
    }
    return false;
}

std::uint16_t last_field(const FrameHeader& header) {
    switch (header.kind) {
        case FrameKind::data:
            return header.total;
        case FrameKind::ack:
            return header.doubled.value_or(0);
        case FrameKind::hello:
        case FrameKind::welcome:
        case FrameKind::probe:
        case FrameKind::probe_ack:
            break;
    }
    return header.mtu;
}

std::uint32_t checksum_of(ByteView header, ByteView payload) {
    Checksum sum;
    sum.add(header.first(kMtuOverhead - sizeof(std::uint32_t)));
    sum.add(payload);
    return sum.value();
}

}  // namespace

void encode_frame(const FrameContext& context, const MacAddress& destination,
                  const MacAddress& source, const FrameHeader& header, ByteView payload,
                  ByteWriter& to) {
    write_mac(to, destination);
    write_mac(to, source);
    if (context.vlan != 0) {
        write_big_endian(to, kVlanEtherType);
        write_big_endian(to, context.vlan);
    }
    write_big_endian(to, kEtherType);
    const std::size_t start = to.size();
    to.write(kProtocolVersion);
    to.write(static_cast<std::uint8_t>(header.kind));
    to.write(header.from.value());
    to.write(header.to.value());
    to.write(context.guest);
    to.write(context.cluster);
    to.write(header.sender.value());
    to.write(header.receiver.value());
    to.write(flags_of(context, header));
    to.write(static_cast<std::uint8_t>(header.channel));
    to.write(static_cast<std::uint16_t>(payload.size()));
    to.write(header.sequence);
    to.write(header.acknowledged);
    to.write(header.selective);
    to.write(header.credit);
    to.write(header.ack_delay_us);
    to.write(header.order);
    to.write(header.behind);
    to.write(header.offset);
    to.write(last_field(header));
    std::uint32_t checksum = 0;
    if (context.integrity == Integrity::checksum) {
        Checksum sum;
        sum.add(to.written().subspan(start));
        sum.add(payload);
        checksum = sum.value();
    }
    to.write(checksum);
}

namespace {

// What is behind the guest's incarnation and not part of FrameHeader as it is.
struct Raw {
    std::uint8_t flags = 0, channel = 0;
    std::uint16_t length = 0, total = 0;
    std::uint32_t cluster = 0, checksum = 0;
};

Raw read_rest(ByteReader& reader, FrameHeader& header) {
    Raw raw;
    raw.cluster = reader.read<std::uint32_t>();
    header.sender = LinkIncarnation{reader.read<std::uint32_t>()};
    header.receiver = LinkIncarnation{reader.read<std::uint32_t>()};
    raw.flags = reader.read<std::uint8_t>();
    raw.channel = reader.read<std::uint8_t>();
    raw.length = reader.read<std::uint16_t>();
    header.sequence = reader.read<std::uint32_t>();
    header.acknowledged = reader.read<std::uint32_t>();
    header.selective = reader.read<std::uint64_t>();
    header.credit = reader.read<std::uint16_t>();
    header.ack_delay_us = reader.read<std::uint16_t>();
    header.order = reader.read<std::uint16_t>();
    header.behind = reader.read<std::uint16_t>();
    header.offset = reader.read<std::uint16_t>();
    raw.total = reader.read<std::uint16_t>();
    raw.checksum = reader.read<std::uint32_t>();
    return raw;
}

// Flags and what they say about the frame; nothing when all is well.
std::optional<NotOurs> protection_problem(const FrameContext& context, const Raw& raw,
                                          const DecodedFrame& decoded) {
    if ((raw.flags & ~kAllFlags) != 0) return NotOurs::malformed;
    const bool has_checksum = (raw.flags & kHasChecksum) != 0;
    const bool is_sealed = (raw.flags & kIsSealed) != 0;
    if (is_sealed != (context.integrity == Integrity::sealed)) return NotOurs::unprotected;
    if (!has_checksum && context.integrity == Integrity::checksum) return NotOurs::unprotected;
    if (!has_checksum && raw.checksum != 0) return NotOurs::malformed;
    if (has_checksum && checksum_of(decoded.authenticated, decoded.payload) != raw.checksum)
        return NotOurs::damaged;
    return std::nullopt;
}

// The two whose meaning depends on the kind.
bool take_last_fields(const Raw& raw, FrameHeader& header) {
    const bool names_double = (raw.flags & kNamesDouble) != 0;
    if (names_double && header.kind != FrameKind::ack) return false;
    if (header.kind == FrameKind::data) {
        const auto channel = to_channel(raw.channel);
        if (!channel) return false;
        header.channel = *channel;
        header.total = raw.total;
        return true;
    }
    if (raw.channel != 0) return false;
    if (header.kind != FrameKind::ack)
        header.mtu = raw.total;
    else if (names_double)
        header.doubled = raw.total;
    else if (raw.total != 0)
        return false;
    return true;
}

}  // namespace

DecodeResult decode_frame(const FrameContext& context, ByteView frame) {
    ByteReader reader{frame};
    DecodedFrame decoded;
    decoded.destination = read_mac(reader);
    decoded.source = read_mac(reader);
    if (!ethertype_is_ours(context, reader)) return NotOurs::other_ethertype;

    const ByteView ours = frame.last(reader.remaining());
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

    const Raw raw = read_rest(reader, header);
    decoded.payload = reader.take(raw.length + context.seal_overhead);
    if (!reader.ok() || !kind) return NotOurs::malformed;
    if (raw.cluster != context.cluster) return NotOurs::other_cluster;
    decoded.authenticated = ours.first(kMtuOverhead);
    if (const auto problem = protection_problem(context, raw, decoded)) return *problem;

    header.kind = *kind;
    header.answer = (raw.flags & kAnswerNow) != 0 ? AckUrgency::now : AckUrgency::may_wait;
    header.scope = (raw.flags & kPartOfAck) != 0 ? AckScope::part : AckScope::whole;
    if (!take_last_fields(raw, header) || !consistent(header, raw.length))
        return NotOurs::malformed;
    return decoded;
}

Acknowledgement acknowledgement_of(const FrameHeader& header, ByteView payload) {
    Acknowledgement made{.below = header.acknowledged,
                         .selective = {header.selective},
                         .scope = header.scope,
                         .held_back = std::chrono::microseconds(header.ack_delay_us),
                         .doubled = header.doubled};
    if (header.kind != FrameKind::ack) return made;
    ByteReader reader{payload};
    for (std::size_t word = 1; word < kSelectiveWords && !reader.at_end(); ++word)
        made.selective[word] = reader.read<std::uint64_t>();
    return made;
}

}  // namespace vsmp::fabric
