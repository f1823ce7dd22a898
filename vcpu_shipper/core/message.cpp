#include "vcpu_shipper/core/message.hpp"

namespace vsmp::shipper {
namespace {

// The three bytes whose meaning depends on the kind.
using Details = std::array<std::uint8_t, 3>;

Details details_of(const Message& message) {
    switch (message.kind) {
        case MessageKind::ship_state:
        case MessageKind::ship_ack:
        case MessageKind::location:
            return {};
        case MessageKind::ship_nack:
            return {static_cast<std::uint8_t>(message.reason)};
        case MessageKind::interrupt:
            return {static_cast<std::uint8_t>(message.interrupt.kind), message.interrupt.vector,
                    static_cast<std::uint8_t>(message.interrupt.trigger)};
    }
    VSMP_CHECK(false, "a message of no kind");
    return {};
}

bool valid_interrupt(const Details& details) {
    const auto [kind, vector, trigger] = details;
    if (kind > static_cast<std::uint8_t>(InterruptKind::sipi)) return false;
    switch (static_cast<InterruptKind>(kind)) {
        case InterruptKind::fixed:
            return trigger <= static_cast<std::uint8_t>(Trigger::level);
        case InterruptKind::sipi:
            return trigger == 0;
        case InterruptKind::nmi:
        case InterruptKind::init:
            return vector == 0 && trigger == 0;
    }
    return false;
}

// Fills in what the kind's three bytes mean; false when they mean nothing.
bool read_details(const Details& details, Message& message) {
    const bool rest_is_zero = details[1] == 0 && details[2] == 0;
    switch (message.kind) {
        case MessageKind::ship_state:
        case MessageKind::ship_ack:
        case MessageKind::location:
            return details[0] == 0 && rest_is_zero;
        case MessageKind::ship_nack:
            message.reason = static_cast<NackReason>(details[0]);
            return details[0] >= 1 &&
                   details[0] <= static_cast<std::uint8_t>(NackReason::closing) && rest_is_zero;
        case MessageKind::interrupt:
            message.interrupt = {static_cast<InterruptKind>(details[0]), details[1],
                                 static_cast<Trigger>(details[2])};
            return valid_interrupt(details);
    }
    return false;
}

}  // namespace

void encode(const Message& message, ByteWriter& to) {
    to.write(static_cast<std::uint8_t>(message.kind));
    for (const std::uint8_t detail : details_of(message)) to.write(detail);
    to.write(message.vcpu.value());
    to.write(std::uint16_t{0});
    to.write(message.epoch.value());
}

Result<DecodedMessage> decode_message(ByteView bytes, std::size_t vcpu_count) {
    ByteReader from{bytes};
    DecodedMessage decoded;
    Message& message = decoded.message;
    const auto kind = from.read<std::uint8_t>();
    Details details;
    for (std::uint8_t& detail : details) detail = from.read<std::uint8_t>();
    message.vcpu = VcpuId{from.read<std::uint16_t>()};
    const auto zero = from.read<std::uint16_t>();
    message.epoch = Epoch{from.read<std::uint64_t>()};
    if (!from.ok()) return Error{"vCPU message: too short"};
    if (kind < 1 || kind > static_cast<std::uint8_t>(MessageKind::interrupt))
        return Error{"vCPU message: unknown kind"};
    message.kind = static_cast<MessageKind>(kind);
    if (!read_details(details, message)) return Error{"vCPU message: bad details"};
    if (message.vcpu.value() >= vcpu_count) return Error{"vCPU message: no such vCPU"};
    if (zero != 0) return Error{"vCPU message: reserved byte set"};
    decoded.state = from.take(from.remaining());
    const bool has_state = message.kind == MessageKind::ship_state;
    if (decoded.state.empty() == has_state || decoded.state.size() > kMaxStateBytes)
        return Error{"vCPU message: wrong length"};
    return decoded;
}

}  // namespace vsmp::shipper
