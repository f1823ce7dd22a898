// Which vCPUs an interrupt message is for. Pure; every node keeps the addresses of all local APICs
// and decides alike (10.6.2, 10.11; APM vol. 2 16.6).
#pragma once

#include <bitset>
#include <optional>
#include <vector>

#include "proto/ids.hpp"
#include "vmm/cpu/apic_types.hpp"

namespace vsmp::cpu {

using VcpuSet = std::bitset<kMaxVcpus>;

class InterruptRouter {
  public:
    // All local APICs as after reset.
    explicit InterruptRouter(std::uint16_t vcpu_count);

    // LocalApic reported an ApicEffects::address. Unknown vCPUs abort.
    void set_address(VcpuId vcpu, const ApicAddress& address);

    // A message that an I/O APIC or a device (MSI) sends.
    VcpuSet resolve(const Destination& to, DeliveryMode delivery, std::uint8_t vector) const;
    // Of a local APIC, shorthand included.
    VcpuSet resolve(VcpuId sender, const Ipi& ipi) const;

  private:
    VcpuSet matching(const Destination& to) const;

    std::vector<ApicAddress> addresses_;
};

// What arrives at each of them; nullopt for the modes that nothing here sends (SMI, ExtINT).
std::optional<Interrupt> interrupt_for(DeliveryMode delivery, std::uint8_t vector, Trigger trigger);

}  // namespace vsmp::cpu
