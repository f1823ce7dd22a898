// The devices of node 0 as the vCPUs of other nodes reach them: through the fabric.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "vmm/node/device_access.hpp"

namespace vsmp {

// The other nodes' end: a request to node 0, and the vCPU's thread waits for the reply.
class DeviceClient final : public DeviceAccess {
  public:
    // `send` hands a message for node 0 to the data plane; any thread.
    DeviceClient(std::size_t vcpu_count, std::function<void(NodeMessage)> send);

    void read(VcpuId vcpu, AddressSpace space, std::uint64_t address,
              std::span<std::byte> out) override;
    void write(VcpuId vcpu, AddressSpace space, std::uint64_t address, ByteView data) override;
    void end_of_interrupt(std::uint8_t vector) override;

    // The data plane: a reply came. One that nobody waits for is ignored.
    void on_reply(const DeviceReply& reply);
    // Ends all waiting, now and later; reads then give all ones.
    void stop();

  private:
    struct Slot {
        std::uint32_t sequence = 0;
        bool answered = true;
        std::uint64_t data = 0;
    };
    std::uint64_t transact(DeviceRequest request);

    std::function<void(NodeMessage)> send_;
    std::mutex mutex_;
    std::condition_variable replied_;
    std::vector<Slot> slots_;  // by vCPU: each waits for at most one reply
    bool stopped_ = false;
};

}  // namespace vsmp
