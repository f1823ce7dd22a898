// Node 0's devices as its vCPUs and those of other nodes reach them.
#pragma once

#include <atomic>
#include <memory>

#include "vmm/devices/legacy_devices.hpp"
#include "vmm/node/device_access.hpp"

namespace vsmp {

class NodeDevices final : public DeviceAccess {
  public:
    // `timer_changed`: a deadline may have moved forward; called by whichever thread did it.
    NodeDevices(LegacyDeviceHooks hooks, std::function<void()> timer_changed);

    // --- DeviceAccess; any thread
    void read(VcpuId vcpu, AddressSpace space, std::uint64_t address,
              std::span<std::byte> out) override;
    void write(VcpuId vcpu, AddressSpace space, std::uint64_t address, ByteView data) override;
    void end_of_interrupt(std::uint8_t vector) override;

    // A request of another node's vCPU.
    DeviceReply serve(const DeviceRequest& request);
    LegacyDevices& legacy() { return *devices_; }

  private:
    IoBus& bus(AddressSpace space);

    std::unique_ptr<LegacyDevices> devices_;
    std::function<void()> timer_changed_;
    std::atomic<Instant> known_deadline_{Instant::max()};
};

}  // namespace vsmp
