// Devices as the vCPUs of a node reach them: directly on node 0 (node_devices.hpp), through the
// fabric elsewhere (device_client.hpp).
#pragma once

#include <span>

#include "vmm/node/node_message.hpp"

namespace vsmp {

class DeviceAccess {
  public:
    virtual ~DeviceAccess() = default;
    // Called by the vCPU's thread; may wait for another node. 1, 2, 4 or 8 bytes.
    virtual void read(VcpuId vcpu, AddressSpace space, std::uint64_t address,
                      std::span<std::byte> out) = 0;
    virtual void write(VcpuId vcpu, AddressSpace space, std::uint64_t address, ByteView data) = 0;
    virtual void end_of_interrupt(std::uint8_t vector) = 0;
};

}  // namespace vsmp
