// Messages between the VMMs of a guest that are about neither pages nor the whereabouts of vCPUs:
// accesses to devices that live on node 0, and what all nodes must know of every local APIC to
// address it. On fabric::Channel::device.
#pragma once

#include <optional>
#include <variant>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "vmm/cpu/apic_types.hpp"

namespace vsmp {

enum class AddressSpace : std::uint8_t { port = 0, mmio = 1 };

// A vCPU's access, which waits for the reply (also for a write: the next access of that vCPU,
// perhaps from another node by then, must find its effect).
struct DeviceRequest {
    VcpuId vcpu;
    std::uint32_t sequence = 0;  // copied into the reply
    AddressSpace space{};
    Access access{};
    std::uint8_t size = 0;  // 1, 2, 4 or 8 bytes
    std::uint64_t address = 0;
    std::uint64_t data = 0;  // write: little-endian value

    friend bool operator==(const DeviceRequest&, const DeviceRequest&) = default;
};

struct DeviceReply {
    VcpuId vcpu;
    std::uint32_t sequence = 0;
    std::uint64_t data = 0;

    friend bool operator==(const DeviceReply&, const DeviceReply&) = default;
};

// A local APIC ended a level-triggered interrupt; the I/O APIC waits for that.
struct EndOfInterrupt {
    std::uint8_t vector = 0;

    friend bool operator==(const EndOfInterrupt&, const EndOfInterrupt&) = default;
};

// How interrupts address a local APIC; sent to all when it changes.
struct ApicMoved {
    VcpuId vcpu;
    cpu::ApicAddress address;

    friend bool operator==(const ApicMoved&, const ApicMoved&) = default;
};

// A micro-guest's vCPU told something (vmm/boot/micro.hpp); node 0 collects it.
struct MicroReport {
    VcpuId vcpu;
    std::uint16_t port = 0;  // kReportPort or kFinishPort
    std::uint32_t code = 0;  // or status
    std::uint64_t value = 0;

    friend bool operator==(const MicroReport&, const MicroReport&) = default;
};

using NodeMessage =
    std::variant<DeviceRequest, DeviceReply, EndOfInterrupt, ApicMoved, MicroReport>;

// kind u8, then the fields in order; at most this many bytes.
inline constexpr std::size_t kMaxNodeMessage = 32;
void encode(const NodeMessage& message, ByteWriter& to);
// nullopt: unknown kind, wrong length, a size that is none of 1, 2, 4, 8, a vCPU out of range.
std::optional<NodeMessage> decode_node_message(ByteView bytes, std::size_t vcpu_count);

}  // namespace vsmp
