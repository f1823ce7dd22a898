#include "vmm/cpu/interrupt_router.hpp"

#include "proto/check.hpp"

namespace vsmp::cpu {
namespace {

bool is_broadcast(const Destination& to) {
    switch (to.width) {
        case DestinationWidth::bits8:
            return to.id == 0xff;
        case DestinationWidth::bits32:
            return to.id == 0xffffffff;
    }
    return false;
}

bool matches_logically(const ApicAddress& apic, std::uint32_t set) {
    if (apic.mode == ApicMode::x2apic)  // cluster in the upper half, member bits in the lower
        return apic.ldr >> 16 == set >> 16 && (apic.ldr & set & 0xffff) != 0;
    if (set > 0xff) return false;
    const std::uint32_t logical_id = apic.ldr >> 24;
    switch (apic.dfr >> 28) {
        case 0xf:  // flat
            return (logical_id & set) != 0;
        case 0x0:  // cluster; 15 means every cluster
            return (set >> 4 == 0xf || set >> 4 == logical_id >> 4) &&
                   (logical_id & set & 0xf) != 0;
    }
    return false;  // reserved models receive nothing
}

bool matches(const ApicAddress& apic, const Destination& to) {
    if (apic.mode == ApicMode::disabled) return false;
    if (is_broadcast(to)) return true;
    switch (to.mode) {
        case DestinationMode::physical:
            return apic.id == to.id;
        case DestinationMode::logical:
            return matches_logically(apic, to.id);
    }
    return false;
}

// Task priorities are not known here, so vectors are spread instead: the same one always goes to
// the same vCPU, which keeps its handler's pages where they are.
VcpuSet pick_one(const VcpuSet& candidates, std::uint8_t vector) {
    VcpuSet picked;
    if (candidates.none()) return picked;
    std::size_t skip = vector % candidates.count();
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        if (!candidates.test(i)) continue;
        if (skip-- == 0) {
            picked.set(i);
            break;
        }
    }
    return picked;
}

}  // namespace

InterruptRouter::InterruptRouter(std::uint16_t vcpu_count) {
    for (std::uint32_t i = 0; i < vcpu_count; ++i) {
        ApicAddress address;
        address.id = i;
        addresses_.push_back(address);
    }
}

void InterruptRouter::set_address(VcpuId vcpu, const ApicAddress& address) {
    VSMP_CHECK(vcpu.value() < addresses_.size(), "the guest has no such vCPU");
    addresses_[vcpu.value()] = address;
}

VcpuSet InterruptRouter::matching(const Destination& to) const {
    VcpuSet set;
    for (std::size_t i = 0; i < addresses_.size(); ++i)
        if (matches(addresses_[i], to)) set.set(i);
    return set;
}

VcpuSet InterruptRouter::resolve(const Destination& to, DeliveryMode delivery,
                                 std::uint8_t vector) const {
    const VcpuSet candidates = matching(to);
    return delivery == DeliveryMode::lowest_priority ? pick_one(candidates, vector) : candidates;
}

VcpuSet InterruptRouter::resolve(VcpuId sender, const Ipi& ipi) const {
    const Destination everybody{0xffffffff, DestinationMode::physical, DestinationWidth::bits32};
    VcpuSet set;
    switch (ipi.shorthand) {
        case Shorthand::none:
            return resolve(ipi.to, ipi.delivery, ipi.vector);
        case Shorthand::self:
            set.set(sender.value());
            return set;
        case Shorthand::all_including_self:
            return resolve(everybody, ipi.delivery, ipi.vector);
        case Shorthand::all_excluding_self:
            set = matching(everybody);
            set.reset(sender.value());
            return ipi.delivery == DeliveryMode::lowest_priority ? pick_one(set, ipi.vector) : set;
    }
    return set;
}

std::optional<Interrupt> interrupt_for(DeliveryMode delivery, std::uint8_t vector,
                                       Trigger trigger) {
    switch (delivery) {
        case DeliveryMode::fixed:
        case DeliveryMode::lowest_priority:
            return Interrupt{InterruptKind::fixed, vector, trigger};
        case DeliveryMode::nmi:
            return Interrupt{InterruptKind::nmi};
        case DeliveryMode::init:
            return Interrupt{InterruptKind::init};
        case DeliveryMode::startup:
            return Interrupt{InterruptKind::sipi, vector};
        case DeliveryMode::smi:
        case DeliveryMode::reserved_3:
        case DeliveryMode::ext_int:
            break;
    }
    return std::nullopt;
}

}  // namespace vsmp::cpu
