#include "dpdk_transport/core/frame.hpp"

#include "dpdk_transport/core/checksum.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::uint16_t kVlanIdMask = 0x0fff;

void write_big_endian(ByteWriter& to, std::uint16_t value) {
    to.write(static_cast<std::uint16_t>(value << 8 | value >> 8));
}

std::uint16_t read_big_endian(ByteReader& from) {
    const auto value = from.read<std::uint16_t>();
    return static_cast<std::uint16_t>(value << 8 | value >> 8);
}

void write_mac(ByteWriter& to, const MacAddress& mac) {
    to.write(std::as_bytes(std::span{mac.octets}));
}

constexpr std::size_t kMacSize = sizeof(MacAddress::octets);

void read_mac(std::span<const std::byte, kMacSize> octets, MacAddress& mac) {
    std::memcpy(mac.octets.data(), octets.data(), kMacSize);
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

// The EtherType behind the VLAN tag that `context` asks for, if `bytes`, which are behind the MACs,
// are just that.
bool ethertype_is_ours(const FrameContext& context, ByteView bytes) {
    ByteReader reader{bytes};
    std::uint16_t type = read_big_endian(reader);
    if (context.vlan != 0) {
        if (type != kVlanEtherType) return false;
        if ((read_big_endian(reader) & kVlanIdMask) != context.vlan) return false;
        type = read_big_endian(reader);
    }
    return type == kEtherType;
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
                  std::span<std::byte> to) {
    const std::size_t ethernet_size = header_size(context) - kMtuOverhead;
    VSMP_CHECK(to.size() >= ethernet_size + kMtuOverhead, "room for a header");
    ByteWriter ethernet{to.first(ethernet_size)};
    write_mac(ethernet, destination);
    write_mac(ethernet, source);
    if (context.vlan != 0) {
        write_big_endian(ethernet, kVlanEtherType);
        write_big_endian(ethernet, context.vlan);
    }
    write_big_endian(ethernet, kEtherType);
    // Of a size known here, so that the compiler checks it once.
    const auto bytes = to.subspan(ethernet_size).first<kMtuOverhead>();
    ByteWriter ours{bytes};
    ours.write(kProtocolVersion);
    ours.write(static_cast<std::uint8_t>(header.kind));
    ours.write(header.from.value());
    ours.write(header.to.value());
    ours.write(context.guest);
    ours.write(context.cluster);
    ours.write(header.sender.value());
    ours.write(header.receiver.value());
    ours.write(flags_of(context, header));
    ours.write(static_cast<std::uint8_t>(header.channel));
    ours.write(static_cast<std::uint16_t>(payload.size()));
    ours.write(header.sequence);
    ours.write(header.acknowledged);
    ours.write(header.selective);
    ours.write(header.credit);
    ours.write(header.ack_delay_us);
    ours.write(header.order);
    ours.write(header.behind);
    ours.write(header.offset);
    ours.write(last_field(header));
    const bool with_checksum = context.integrity == Integrity::checksum;
    ours.write(with_checksum ? checksum_of(bytes, payload) : std::uint32_t{0});
}

namespace {

// What is behind the guest's incarnation and not part of FrameHeader as it is.
struct Raw {
    std::uint8_t flags = 0, channel = 0;
    std::uint16_t length = 0, total = 0;
    std::uint32_t cluster = 0, checksum = 0;
};

// In front of it: version, kind, from, to, guest.
constexpr std::size_t kRest = field::kCluster - kEthernetHeaderSize;

// `bytes` from the cluster on. Their size is known here, so that the compiler need not check it.
Raw read_rest(std::span<const std::byte, kMtuOverhead - kRest> bytes, FrameHeader& header) {
    ByteReader reader{bytes};
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

using Refusal = std::variant<std::monostate, NotOurs, ForeignVersion>;

Refusal decode(const FrameContext& context, ByteView frame, DecodedFrame& decoded) {
    const std::size_t ethernet_size = header_size(context) - kMtuOverhead;
    if (frame.size() < ethernet_size) return NotOurs::other_ethertype;
    read_mac(frame.first<kMacSize>(), decoded.destination);
    read_mac(frame.subspan<kMacSize, kMacSize>(), decoded.source);
    if (!ethertype_is_ours(context, frame.first(ethernet_size).subspan<2 * kMacSize>()))
        return NotOurs::other_ethertype;

    const ByteView ours = frame.subspan(ethernet_size);
    if (ours.size() < kRest) return NotOurs::malformed;
    ByteReader start{ours.first<kRest>()};
    const auto version = start.read<std::uint8_t>();
    const auto kind = to_kind(start.read<std::uint8_t>());
    FrameHeader& header = decoded.header;
    header.from = NodeId{start.read<std::uint8_t>()};
    header.to = NodeId{start.read<std::uint8_t>()};
    const auto guest = start.read<std::uint64_t>();
    if (guest != context.guest) return NotOurs::other_guest;
    if (header.to != context.self) return NotOurs::other_destination;
    if (header.from.value() >= context.node_count || header.from == context.self)
        return NotOurs::malformed;
    if (version != kProtocolVersion) return ForeignVersion{header.from, version};

    if (ours.size() < kMtuOverhead || !kind) return NotOurs::malformed;
    const Raw raw = read_rest(ours.subspan<kRest, kMtuOverhead - kRest>(), header);
    ByteReader behind{ours.subspan<kMtuOverhead>()};
    decoded.payload = behind.take(raw.length + context.seal_overhead);
    if (!behind.ok()) return NotOurs::malformed;
    if (raw.cluster != context.cluster) return NotOurs::other_cluster;
    decoded.authenticated = ours.first(kMtuOverhead);
    if (const auto problem = protection_problem(context, raw, decoded)) return *problem;

    header.kind = *kind;
    header.answer = (raw.flags & kAnswerNow) != 0 ? AckUrgency::now : AckUrgency::may_wait;
    header.scope = (raw.flags & kPartOfAck) != 0 ? AckScope::part : AckScope::whole;
    if (!take_last_fields(raw, header) || !consistent(header, raw.length))
        return NotOurs::malformed;
    return {};
}

}  // namespace

DecodeResult decode_frame(const FrameContext& context, ByteView frame) {
    DecodeResult result;
    const Refusal refusal = decode(context, frame, std::get<DecodedFrame>(result));
    if (const auto* why = std::get_if<NotOurs>(&refusal)) result = *why;
    if (const auto* foreign = std::get_if<ForeignVersion>(&refusal)) result = *foreign;
    return result;
}

void read_acknowledgement(const FrameHeader& header, ByteView payload, Acknowledgement& told) {
    told.below = header.acknowledged;
    told.selective = {header.selective};
    told.scope = header.scope;
    told.held_back = std::chrono::microseconds(header.ack_delay_us);
    told.doubled = header.doubled;
    if (header.kind != FrameKind::ack) return;
    ByteReader reader{payload};
    for (std::size_t word = 1; word < kSelectiveWords && !reader.at_end(); ++word)
        told.selective[word] = reader.read<std::uint64_t>();
}

}  // namespace vsmp::fabric
