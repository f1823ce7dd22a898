#include "vmm/node/clock_sync.hpp"

namespace vsmp {
namespace {

constexpr std::uint8_t kPing = 1;
constexpr std::uint8_t kPong = 2;

}  // namespace

void encode(const ClockPing& ping, ByteWriter& to) {
    to.write(kPing);
    to.write(ping.asker_tsc);
}

void encode(const ClockPong& pong, ByteWriter& to) {
    to.write(kPong);
    to.write(pong.asker_tsc);
    to.write(pong.guest_tsc);
    to.write(pong.guest_offset);
    to.write(pong.host_id);
}

std::optional<ClockPing> decode_clock_ping(ByteView bytes) {
    ByteReader from{bytes};
    const bool right_kind = from.read<std::uint8_t>() == kPing;
    const ClockPing ping{from.read<std::uint64_t>()};
    if (!right_kind || !from.ok() || !from.at_end()) return std::nullopt;
    return ping;
}

std::optional<ClockPong> decode_clock_pong(ByteView bytes) {
    ByteReader from{bytes};
    const bool right_kind = from.read<std::uint8_t>() == kPong;
    ClockPong pong;
    pong.asker_tsc = from.read<std::uint64_t>();
    pong.guest_tsc = from.read<std::uint64_t>();
    pong.guest_offset = from.read<std::uint64_t>();
    pong.host_id = from.read<std::uint64_t>();
    if (!right_kind || !from.ok() || !from.at_end()) return std::nullopt;
    return pong;
}

void ClockEstimator::on_pong(const ClockPong& pong, std::uint64_t tsc) {
    ++answers_;
    if (pong.host_id == host_id_) {
        exact_ = true;
        offset_ = pong.guest_offset;
        return;
    }
    const std::uint64_t round_trip = tsc - pong.asker_tsc;
    if (round_trip >= best_round_trip_) return;
    best_round_trip_ = round_trip;
    offset_ = pong.guest_tsc + round_trip / 2 - tsc;
}

}  // namespace vsmp
