#include "vmm/node/node_devices.hpp"

#include <array>

namespace vsmp {

NodeDevices::NodeDevices(LegacyDeviceHooks hooks, std::function<void()> timer_changed)
    : devices_(LegacyDevices::create(std::move(hooks))), timer_changed_(std::move(timer_changed)) {}

IoBus& NodeDevices::bus(AddressSpace space) {
    return space == AddressSpace::port ? devices_->ports() : devices_->mmio();
}

void NodeDevices::read(VcpuId, AddressSpace space, std::uint64_t address,
                       std::span<std::byte> out) {
    bus(space).read(address, out);
}

void NodeDevices::write(VcpuId, AddressSpace space, std::uint64_t address, ByteView data) {
    bus(space).write(address, data);
    const Instant deadline = devices_->next_deadline().value_or(Instant::max());
    if (known_deadline_.exchange(deadline) > deadline) timer_changed_();
}

void NodeDevices::end_of_interrupt(std::uint8_t vector) {
    devices_->end_of_interrupt(vector);
}

DeviceReply NodeDevices::serve(const DeviceRequest& request) {
    DeviceReply reply{.vcpu = request.vcpu, .sequence = request.sequence};
    std::array<std::byte, 8> buffer;
    const auto data = std::span{buffer}.first(request.size);
    if (request.access == Access::write) {
        ByteWriter{buffer}.write(request.data);
        write(request.vcpu, request.space, request.address, data);
        return reply;
    }
    buffer.fill(std::byte{0});
    read(request.vcpu, request.space, request.address, data);
    reply.data = ByteReader{buffer}.read<std::uint64_t>();
    return reply;
}

}  // namespace vsmp
