#include "vmm/acpi/topology_tables.hpp"

#include "vmm/acpi/table.hpp"
#include "vmm/devices/platform_map.hpp"

namespace vsmp::acpi {
namespace {

// IDs from 255 on have no 8-bit form: 255 is the broadcast.
bool needs_x2apic(std::uint32_t apic_id) {
    return apic_id >= 255;
}

constexpr std::uint32_t kEnabled = 1;

// 5.2.12.2 and 5.2.12.12. The ACPI processor UID is the APIC ID.
void put_local_apic(ByteBuilder& out, std::uint32_t apic_id) {
    if (needs_x2apic(apic_id)) {
        out.u8(9).u8(16).u16(0).u32(apic_id).u32(kEnabled).u32(apic_id);
    } else {
        const auto id = static_cast<std::uint8_t>(apic_id);
        out.u8(0).u8(8).u8(id).u8(id).u32(kEnabled);
    }
}

// 5.2.12.5
void put_override(ByteBuilder& out, std::uint8_t irq, std::uint32_t gsi, std::uint16_t flags) {
    constexpr std::uint8_t kIsaBus = 0;
    out.u8(2).u8(10).u8(kIsaBus).u8(irq).u32(gsi).u16(flags);
}

// 5.2.16.1 and 5.2.16.3
void put_cpu_affinity(ByteBuilder& out, const Machine::Cpu& cpu) {
    const std::uint8_t cell = cpu.cell.value();
    if (needs_x2apic(cpu.apic_id)) {
        out.u8(2).u8(24).u16(0).u32(cell).u32(cpu.apic_id).u32(kEnabled).u32(0).u32(0);
    } else {
        out.u8(0).u8(16).u8(cell).u8(static_cast<std::uint8_t>(cpu.apic_id));
        out.u32(kEnabled).u8(0).zeros(3).u32(0);
    }
}

// 5.2.16.2
void put_memory_affinity(ByteBuilder& out, const CellRange& range) {
    out.u8(1).u8(40).u32(range.home.value()).u16(0).u64(range.gpa.value()).u64(range.bytes);
    out.u32(0).u32(kEnabled).u64(0);
}

}  // namespace

// 5.2.12
std::vector<std::byte> make_madt(const Machine& machine) {
    constexpr std::uint32_t kPcatCompat = 1;
    constexpr std::uint16_t kAsTheBus = 0, kLevelActiveHigh = 0x0d;
    constexpr std::uint8_t kAllProcessors8 = 0xff;
    constexpr std::uint8_t kLint1 = 1;
    ByteBuilder body;
    body.u32(static_cast<std::uint32_t>(platform::kLocalApicBase.value())).u32(kPcatCompat);
    bool any_x2apic = false;
    for (const Machine::Cpu& cpu : machine.cpus) {
        put_local_apic(body, cpu.apic_id);
        any_x2apic = any_x2apic || needs_x2apic(cpu.apic_id);
    }
    body.u8(1).u8(12).u8(0).u8(0);  // 5.2.12.3: I/O APIC 0, GSIs from 0
    body.u32(static_cast<std::uint32_t>(platform::kIoApicBase.value())).u32(0);
    put_override(body, platform::kPitIrq, platform::kPitPin, kAsTheBus);
    put_override(body, platform::kSciIrq, platform::kSciIrq, kLevelActiveHigh);
    body.u8(4).u8(6).u8(kAllProcessors8).u16(0).u8(kLint1);  // 5.2.12.7: NMI
    if (any_x2apic) body.u8(10).u8(12).u16(0).u32(0xffff'ffff).u8(kLint1).zeros(3);  // 5.2.12.13
    return make_table("APIC", 5, body);
}

// 5.2.16
std::vector<std::byte> make_srat(const Machine& machine) {
    ByteBuilder body;
    body.u32(1).u64(0);
    for (const Machine::Cpu& cpu : machine.cpus) put_cpu_affinity(body, cpu);
    for (const CellRange& range : machine.memory) put_memory_affinity(body, range);
    return make_table("SRAT", 3, body);
}

// 5.2.17
std::vector<std::byte> make_slit(const Machine& machine) {
    ByteBuilder body;
    body.u64(machine.distances.size());
    for (const auto& row : machine.distances)
        for (std::uint8_t distance : row) body.u8(distance);
    return make_table("SLIT", 1, body);
}

}  // namespace vsmp::acpi
