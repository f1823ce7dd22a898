#include "vmm/node/policy_message.hpp"

namespace vsmp {
namespace {

constexpr std::uint8_t kLoad = 1;
constexpr std::uint8_t kLuggage = 2;

void encode_fields(const LoadReport& m, ByteWriter& to) {
    to.write(kLoad);
    to.write(m.cpu_set);
    to.write(m.cpus);
    to.write(m.runnable_permille);
}

void encode_fields(const Luggage& m, ByteWriter& to) {
    to.write(kLuggage);
    to.write(m.vcpu.value());
    to.write(m.bytes);
}

}  // namespace

void encode(const PolicyMessage& message, ByteWriter& to) {
    std::visit([&](const auto& m) { encode_fields(m, to); }, message);
}

std::optional<PolicyMessage> decode_policy_message(ByteView bytes, std::size_t vcpu_count) {
    ByteReader from{bytes};
    const auto kind = from.read<std::uint8_t>();
    if (kind == kLoad) {
        LoadReport m{.cpu_set = from.read<std::uint64_t>()};
        m.cpus = from.read<std::uint16_t>();
        m.runnable_permille = from.read<std::uint32_t>();
        if (!from.ok() || !from.at_end() || m.cpus == 0) return std::nullopt;
        return m;
    }
    if (kind == kLuggage) {
        const VcpuId vcpu{from.read<std::uint16_t>()};
        if (!from.ok() || vcpu.value() >= vcpu_count || from.remaining() > locality::kMaxLuggage)
            return std::nullopt;
        return Luggage{vcpu, from.take(from.remaining())};
    }
    return std::nullopt;
}

}  // namespace vsmp
