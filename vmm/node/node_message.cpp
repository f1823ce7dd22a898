#include "vmm/node/node_message.hpp"

namespace vsmp {
namespace {

enum class Kind : std::uint8_t { request = 1, reply, end_of_interrupt, apic_moved, micro_report };

void write_kind(Kind kind, ByteWriter& to) {
    to.write(static_cast<std::uint8_t>(kind));
}

void encode_fields(const DeviceRequest& m, ByteWriter& to) {
    write_kind(Kind::request, to);
    to.write(m.vcpu.value());
    to.write(m.sequence);
    to.write(static_cast<std::uint8_t>(m.space));
    to.write(static_cast<std::uint8_t>(m.access));
    to.write(m.size);
    to.write(m.address);
    to.write(m.data);
}

void encode_fields(const DeviceReply& m, ByteWriter& to) {
    write_kind(Kind::reply, to);
    to.write(m.vcpu.value());
    to.write(m.sequence);
    to.write(m.data);
}

void encode_fields(const EndOfInterrupt& m, ByteWriter& to) {
    write_kind(Kind::end_of_interrupt, to);
    to.write(m.vector);
}

void encode_fields(const ApicMoved& m, ByteWriter& to) {
    write_kind(Kind::apic_moved, to);
    to.write(m.vcpu.value());
    to.write(static_cast<std::uint8_t>(m.address.mode));
    to.write(m.address.id);
    to.write(m.address.ldr);
    to.write(m.address.dfr);
}

void encode_fields(const MicroReport& m, ByteWriter& to) {
    write_kind(Kind::micro_report, to);
    to.write(m.vcpu.value());
    to.write(m.port);
    to.write(m.code);
    to.write(m.value);
}

bool is_valid(const DeviceRequest& m, std::uint8_t space, std::uint8_t access) {
    const bool good_size = m.size == 1 || m.size == 2 || m.size == 4 || m.size == 8;
    return good_size && space <= static_cast<std::uint8_t>(AddressSpace::mmio) &&
           access <= static_cast<std::uint8_t>(Access::write);
}

}  // namespace

void encode(const NodeMessage& message, ByteWriter& to) {
    std::visit([&](const auto& m) { encode_fields(m, to); }, message);
}

std::optional<NodeMessage> decode_node_message(ByteView bytes, std::size_t vcpu_count) {
    ByteReader from{bytes};
    const auto accept = [&](const auto& message, bool valid) -> std::optional<NodeMessage> {
        if (!valid || !from.ok() || !from.at_end()) return std::nullopt;
        return message;
    };
    const auto kind = static_cast<Kind>(from.read<std::uint8_t>());
    if (kind == Kind::end_of_interrupt)
        return accept(EndOfInterrupt{from.read<std::uint8_t>()}, true);

    const VcpuId vcpu{from.read<std::uint16_t>()};
    const bool known_vcpu = vcpu.value() < vcpu_count;
    if (kind == Kind::request) {
        DeviceRequest m{.vcpu = vcpu, .sequence = from.read<std::uint32_t>()};
        const auto space = from.read<std::uint8_t>();
        const auto access = from.read<std::uint8_t>();
        m.space = static_cast<AddressSpace>(space);
        m.access = static_cast<Access>(access);
        m.size = from.read<std::uint8_t>();
        m.address = from.read<std::uint64_t>();
        m.data = from.read<std::uint64_t>();
        return accept(m, known_vcpu && is_valid(m, space, access));
    }
    if (kind == Kind::reply) {
        DeviceReply m{.vcpu = vcpu, .sequence = from.read<std::uint32_t>()};
        m.data = from.read<std::uint64_t>();
        return accept(m, known_vcpu);
    }
    if (kind == Kind::apic_moved) {
        const auto mode = from.read<std::uint8_t>();
        ApicMoved m{.vcpu = vcpu, .address = {.mode = static_cast<cpu::ApicMode>(mode)}};
        m.address.id = from.read<std::uint32_t>();
        m.address.ldr = from.read<std::uint32_t>();
        m.address.dfr = from.read<std::uint32_t>();
        return accept(m, known_vcpu && mode <= static_cast<std::uint8_t>(cpu::ApicMode::x2apic));
    }
    if (kind == Kind::micro_report) {
        MicroReport m{.vcpu = vcpu, .port = from.read<std::uint16_t>()};
        m.code = from.read<std::uint32_t>();
        m.value = from.read<std::uint64_t>();
        return accept(m, known_vcpu);
    }
    return std::nullopt;
}

}  // namespace vsmp
