#include "vmm/node/guest_image.hpp"

#include <sstream>

#include "vcpu_shipper/core/vcpu_state.hpp"
#include "vmm/acpi/acpi_tables.hpp"
#include "vmm/boot/linux_loader.hpp"
#include "vmm/boot/micro.hpp"
#include "vmm/cpu/cpuid.hpp"

namespace vsmp {
namespace {

// Components that exist on all hosts and fit the frame that a vCPU is shipped in.
std::uint64_t usable_xcr0(const NodeSetup& setup) {
    const CpuidLeaf* xsave = cpu::find_leaf(setup.cpuid, 0xd, 0);
    const CpuidLeaf* features = cpu::find_leaf(setup.cpuid, 1);
    const bool has_xsave = features && (features->ecx >> 26 & 1) != 0;
    return has_xsave && xsave ? xsave->eax & shipper::kShippableXcr0 : 0;
}

acpi::Machine describe_machine(const NodeSetup& setup, const MemoryLayout& layout) {
    acpi::Machine machine;
    machine.cpus.resize(setup.guest.vcpu_count);
    for (const NodeConfig& node : setup.guest.nodes)
        for (VcpuId vcpu : node.vcpus)
            machine.cpus[vcpu.value()] = {.apic_id = vcpu.value(), .cell = node.id};
    machine.memory = layout.cell_ranges();
    machine.distances = setup.guest.distances;
    return machine;
}

// A micro-guest's command line is its argument block: up to 16 numbers, decimal or 0x...
Result<std::array<std::uint64_t, 16>> parse_micro_arguments(const std::string& command_line) {
    std::array<std::uint64_t, 16> arguments{};
    std::istringstream words{command_line};
    std::size_t count = 0;
    for (std::string word; words >> word; ++count) {
        std::size_t used = 0;
        try {
            if (count < arguments.size()) arguments[count] = std::stoull(word, &used, 0);
        } catch (const std::logic_error&) {
        }
        if (used == 0 || used != word.size())
            return Error{"micro-guest argument '" + word +
                         "': the command line takes up to 16 numbers"};
    }
    return arguments;
}

Result<boot::BootImage> load_operating_system(const NodeSetup& setup, const MemoryLayout& layout) {
    VSMP_TRY_ASSIGN(acpi::Tables tables, acpi::build_tables(describe_machine(setup, layout)));
    VSMP_TRY_ASSIGN(boot::BootImage image,
                    boot::load_linux({.kernel = setup.kernel,
                                      .initrd = setup.initrd,
                                      .command_line = setup.guest.boot.command_line,
                                      .memory = layout,
                                      .acpi_rsdp = tables.rsdp,
                                      .tsc_khz = setup.tsc_khz}));
    image.add(tables.rsdp, std::move(tables.bytes));
    return image;
}

Result<boot::BootImage> load_program(const NodeSetup& setup, const MemoryLayout& layout) {
    VSMP_TRY_ASSIGN(const auto arguments, parse_micro_arguments(setup.guest.boot.command_line));
    return boot::load_micro({.program = setup.kernel,
                             .vcpu_count = setup.guest.vcpu_count,
                             .memory = layout,
                             .arguments = arguments,
                             .xcr0 = usable_xcr0(setup)});
}

}  // namespace

Result<std::vector<boot::BootState>> load_guest(const NodeSetup& setup, const MemoryLayout& layout,
                                                GuestMemory& memory, Broker& broker) {
    VSMP_TRY_ASSIGN(boot::BootImage image, setup.kind == GuestKind::micro_guest
                                               ? load_program(setup, layout)
                                               : load_operating_system(setup, layout));
    for (const boot::GuestWrite& write : image.writes) {
        if (write.bytes.empty()) continue;
        const auto first = layout.page_of(write.at);
        const auto last = layout.page_of(Gpa{write.at.value() + write.bytes.size() - 1});
        if (!first || !last || layout.home_of(*last) != NodeId{0})
            return Error{"the guest's kernel and initrd do not fit the memory of node 0"};
        const std::size_t offset = first->value() * kPageSize + write.at.value() % kPageSize;
        std::memcpy(memory.alias().data() + offset, write.bytes.data(), write.bytes.size());
        broker.mark_populated(*first, last->value() - first->value() + 1);
    }
    return image.start;
}

}  // namespace vsmp
