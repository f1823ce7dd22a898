#include "vmm/node/interrupt_hub.hpp"

namespace vsmp {

InterruptHub::InterruptHub(std::uint16_t vcpu_count,
                           std::function<void(VcpuId, const cpu::Interrupt&)> elsewhere)
    : elsewhere_(std::move(elsewhere)), router_(vcpu_count) {}

void InterruptHub::attach(const std::vector<std::unique_ptr<cpu::VcpuRunner>>& runners) {
    for (const auto& runner : runners) runners_.push_back(runner.get());
}

void InterruptHub::send_ipi(VcpuId from, const cpu::Ipi& ipi) {
    cpu::VcpuSet targets;
    {
        std::lock_guard lock{mutex_};
        targets = router_.resolve(from, ipi);
    }
    raise_all(targets, ipi.delivery, ipi.vector, Trigger::edge);
}

void InterruptHub::send(const InterruptMessage& message) {
    const cpu::Destination to{.id = message.destination,
                              .mode = message.destination_mode,
                              .width = cpu::DestinationWidth::bits8};
    cpu::VcpuSet targets;
    {
        std::lock_guard lock{mutex_};
        targets = router_.resolve(to, message.delivery, message.vector);
    }
    raise_all(targets, message.delivery, message.vector, message.trigger);
}

void InterruptHub::raise(VcpuId vcpu, const cpu::Interrupt& interrupt) {
    if (runners_[vcpu.value()]->post(interrupt) == cpu::Posted::closed) elsewhere_(vcpu, interrupt);
}

void InterruptHub::set_address(VcpuId vcpu, const cpu::ApicAddress& address) {
    std::lock_guard lock{mutex_};
    router_.set_address(vcpu, address);
}

void InterruptHub::raise_all(const cpu::VcpuSet& targets, DeliveryMode delivery,
                             std::uint8_t vector, Trigger trigger) {
    const auto interrupt = cpu::interrupt_for(delivery, vector, trigger);
    if (!interrupt) return;
    for (std::size_t i = 0; i < runners_.size(); ++i)
        if (targets.test(i)) raise(VcpuId{static_cast<std::uint16_t>(i)}, *interrupt);
}

}  // namespace vsmp
