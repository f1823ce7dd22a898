#include "vmm/node/guest_image.hpp"

#include <array>
#include <sstream>

#include "vcpu_shipper/core/vcpu_state.hpp"
#include "vmm/acpi/acpi_tables.hpp"
#include "vmm/boot/linux_loader.hpp"
#include "vmm/boot/micro.hpp"
#include "vmm/cpu/cpuid.hpp"

namespace vsmp {
namespace {

// Components that exist on all hosts and fit the frame that a vCPU is shipped in.
std::uint64_t usable_xcr0(std::span<const CpuidLeaf> cpuid) {
    const CpuidLeaf* xsave = cpu::find_leaf(cpuid, 0xd, 0);
    const CpuidLeaf* features = cpu::find_leaf(cpuid, 1);
    const bool has_xsave = features && (features->ecx >> 26 & 1) != 0;
    return has_xsave && xsave ? xsave->eax & shipper::kShippableXcr0 : 0;
}

acpi::Machine describe_machine(const GuestConfig& guest, const MemoryLayout& layout) {
    acpi::Machine machine;
    machine.cpus.resize(guest.vcpu_count);
    for (const NodeConfig& node : guest.nodes)
        for (VcpuId vcpu : node.vcpus)
            machine.cpus[vcpu.value()] = {.apic_id = vcpu.value(), .cell = node.id};
    machine.memory = layout.cell_ranges();
    machine.distances = guest.distances;
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

Result<boot::BootImage> load_operating_system(const ImageSource& from, const MemoryLayout& layout) {
    VSMP_TRY_ASSIGN(acpi::Tables tables, acpi::build_tables(describe_machine(from.guest, layout)));
    VSMP_TRY_ASSIGN(boot::BootImage image,
                    boot::load_linux({.kernel = from.kernel,
                                      .initrd = from.initrd,
                                      .command_line = from.guest.boot.command_line,
                                      .memory = layout,
                                      .acpi_rsdp = tables.rsdp,
                                      .tsc_khz = from.tsc_khz}));
    image.add(tables.rsdp, std::move(tables.bytes));
    return image;
}

Result<boot::BootImage> load_program(const ImageSource& from, const MemoryLayout& layout) {
    if (!from.initrd.empty()) return Error{"a micro-guest has no use for an initrd"};
    VSMP_TRY_ASSIGN(const auto arguments, parse_micro_arguments(from.guest.boot.command_line));
    return boot::load_micro({.program = from.kernel,
                             .vcpu_count = from.guest.vcpu_count,
                             .memory = layout,
                             .arguments = arguments,
                             .xcr0 = usable_xcr0(from.cpuid)});
}

bool fits_node_0(const boot::GuestWrite& write, const MemoryLayout& layout) {
    if (write.bytes.empty()) return true;
    const auto last = layout.page_of(Gpa{write.at.value() + write.bytes.size() - 1});
    return layout.page_of(write.at) && last && layout.home_of(*last) == NodeId{0};
}

}  // namespace

Result<boot::BootImage> make_guest_image(const ImageSource& from, const MemoryLayout& layout) {
    VSMP_TRY_ASSIGN(boot::BootImage image, from.kind == GuestKind::micro_guest
                                               ? load_program(from, layout)
                                               : load_operating_system(from, layout));
    for (const boot::GuestWrite& write : image.writes)
        if (!fits_node_0(write, layout))
            return Error{"the guest's kernel and initrd do not fit the memory of node 0"};
    return image;
}

Result<void> check_guest_image(const ImageSource& from) {
    std::vector<std::uint64_t> cells;
    for (const NodeConfig& node : from.guest.nodes) cells.push_back(node.memory_bytes);
    VSMP_TRY_ASSIGN(const MemoryLayout layout, MemoryLayout::create(cells));
    VSMP_TRY(make_guest_image(from, layout));
    return {};
}

}  // namespace vsmp
