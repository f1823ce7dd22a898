#include "vmm/node/device_client.hpp"

#include <algorithm>

namespace vsmp {

DeviceClient::DeviceClient(std::size_t vcpu_count, std::function<void(NodeMessage)> send)
    : send_(std::move(send)), slots_(vcpu_count) {}

void DeviceClient::read(VcpuId vcpu, AddressSpace space, std::uint64_t address,
                        std::span<std::byte> out) {
    std::uint64_t value = transact({.vcpu = vcpu,
                                    .space = space,
                                    .access = Access::read,
                                    .size = static_cast<std::uint8_t>(out.size()),
                                    .address = address});
    for (std::byte& b : out) {
        b = static_cast<std::byte>(value & 0xff);
        value >>= 8;
    }
}

void DeviceClient::write(VcpuId vcpu, AddressSpace space, std::uint64_t address, ByteView data) {
    std::uint64_t value = 0;
    for (std::size_t i = data.size(); i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(data[i]);
    transact({.vcpu = vcpu,
              .space = space,
              .access = Access::write,
              .size = static_cast<std::uint8_t>(data.size()),
              .address = address,
              .data = value});
}

void DeviceClient::end_of_interrupt(std::uint8_t vector) {
    send_(EndOfInterrupt{vector});
}

std::uint64_t DeviceClient::transact(DeviceRequest request) {
    Slot& slot = slots_[request.vcpu.value()];
    {
        std::lock_guard lock{mutex_};
        slot.answered = false;
        request.sequence = ++slot.sequence;
    }
    send_(request);
    std::unique_lock lock{mutex_};
    replied_.wait(lock, [&] { return slot.answered || stopped_; });
    return slot.answered ? slot.data : ~std::uint64_t{0};
}

void DeviceClient::on_reply(const DeviceReply& reply) {
    {
        std::lock_guard lock{mutex_};
        Slot& slot = slots_[reply.vcpu.value()];
        if (slot.answered || slot.sequence != reply.sequence) return;
        slot.answered = true;
        slot.data = reply.data;
    }
    replied_.notify_all();
}

void DeviceClient::stop() {
    {
        std::lock_guard lock{mutex_};
        stopped_ = true;
    }
    replied_.notify_all();
}

}  // namespace vsmp
