#include "page_fault_broker/core/message.hpp"

#include <algorithm>

namespace vsmp::coherence {
namespace {

std::optional<MessageKind> kind_from(std::uint8_t raw) {
    if (raw < static_cast<std::uint8_t>(MessageKind::read_request) ||
        raw > static_cast<std::uint8_t>(MessageKind::release_refused))
        return std::nullopt;
    return static_cast<MessageKind>(raw);
}

std::optional<Contents> contents_from(std::uint8_t raw) {
    if (raw > static_cast<std::uint8_t>(Contents::same)) return std::nullopt;
    return static_cast<Contents>(raw);
}

bool carries_contents(MessageKind kind) {
    return kind == MessageKind::shared_data || kind == MessageKind::exclusive_data;
}

bool carries_acks(MessageKind kind) {
    return kind == MessageKind::forward_write || kind == MessageKind::exclusive_data ||
           kind == MessageKind::upgrade_grant;
}

bool carries_version(MessageKind kind) {
    return kind == MessageKind::read_request || kind == MessageKind::write_request ||
           kind == MessageKind::forward_read || kind == MessageKind::forward_write;
}

bool carries_waited(MessageKind kind) {
    return kind == MessageKind::forward_read || kind == MessageKind::forward_write ||
           kind == MessageKind::shared_data || kind == MessageKind::exclusive_data ||
           kind == MessageKind::upgrade_grant || kind == MessageKind::invalidate_ack;
}

}  // namespace

void encode(const Message& message, ByteWriter& to) {
    to.write(static_cast<std::uint8_t>(message.kind));
    to.write(static_cast<std::uint8_t>(message.contents));
    to.write(message.acks);
    to.write(message.requester.value());
    to.write(static_cast<std::uint8_t>(message.waited));
    to.write(std::uint8_t{0});
    to.write(message.hand_over);
    to.write(message.page.value());
    to.write(message.version);
}

std::optional<DecodedMessage> decode(ByteView bytes, std::uint64_t page_count,
                                     std::size_t node_count) {
    ByteReader reader{bytes};
    const auto kind = kind_from(reader.read<std::uint8_t>());
    const auto contents = contents_from(reader.read<std::uint8_t>());
    const auto acks = reader.read<std::uint8_t>();
    const auto requester = reader.read<std::uint8_t>();
    const auto waited = reader.read<std::uint8_t>();
    const auto reserved = reader.read<std::uint8_t>();
    const auto hand_over = reader.read<std::uint16_t>();
    const auto page = reader.read<std::uint64_t>();
    const auto version = reader.read<Version>();
    if (!reader.ok() || !kind || !contents || reserved != 0) return std::nullopt;
    if (page >= page_count || requester >= node_count || acks >= node_count) return std::nullopt;
    if (acks != 0 && !carries_acks(*kind)) return std::nullopt;
    if (waited > 1 || (waited != 0 && !carries_waited(*kind))) return std::nullopt;
    if (version != 0 && !carries_version(*kind)) return std::nullopt;
    if (carries_contents(*kind) != (*contents != Contents::none)) return std::nullopt;
    const ByteView body = reader.take(reader.remaining());
    if (body.size() != (*contents == Contents::page ? kPageSize : 0)) return std::nullopt;
    return DecodedMessage{{.kind = *kind,
                           .page = PageNumber{page},
                           .requester = NodeId{requester},
                           .acks = acks,
                           .contents = *contents,
                           .version = version,
                           .waited = waited != 0,
                           .hand_over = hand_over},
                          body};
}

ByteView take_message(ByteView& bundle) {
    constexpr std::size_t kContentsAt = 1;
    std::size_t size = kMessageHeaderSize;
    if (bundle.size() > kContentsAt &&
        contents_from(std::to_integer<std::uint8_t>(bundle[kContentsAt])) == Contents::page)
        size += kPageSize;
    size = std::min(size, bundle.size());
    const ByteView first = bundle.first(size);
    bundle = bundle.subspan(size);
    return first;
}

}  // namespace vsmp::coherence
