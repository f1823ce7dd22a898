// Gets interrupts to vCPUs, wherever they are: straight into the mailbox of one that is here,
// through the data plane to one that is not. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "vmm/cpu/interrupt_router.hpp"
#include "vmm/cpu/vcpu_runner.hpp"
#include "vmm/devices/io_apic.hpp"

namespace vsmp {

class InterruptHub {
  public:
    // `elsewhere` takes an interrupt for a vCPU whose mailbox is closed.
    InterruptHub(std::uint16_t vcpu_count,
                 std::function<void(VcpuId, const cpu::Interrupt&)> elsewhere);

    // Once, before the first interrupt. The runners outlive all use.
    void attach(const std::vector<std::unique_ptr<cpu::VcpuRunner>>& runners);

    void send_ipi(VcpuId from, const cpu::Ipi& ipi);
    void send(const InterruptMessage& message);  // from the I/O APIC
    void raise(VcpuId vcpu, const cpu::Interrupt& interrupt);
    void set_address(VcpuId vcpu, const cpu::ApicAddress& address);

  private:
    void raise_all(const cpu::VcpuSet& targets, DeliveryMode delivery, std::uint8_t vector,
                   Trigger trigger);

    std::function<void(VcpuId, const cpu::Interrupt&)> elsewhere_;
    std::vector<cpu::VcpuRunner*> runners_;
    std::mutex mutex_;  // of router_
    cpu::InterruptRouter router_;
};

}  // namespace vsmp
