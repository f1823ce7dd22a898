// <vcpu>, <memory>'s units and <cpu><numa>.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "vmm/config/sections.hpp"

namespace vsmp::config {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kMaxCellBytes = 1ull << 46;
constexpr std::size_t kMaxCpuListChars = 4096;

struct Unit {
    std::string_view name;
    std::uint64_t bytes;
};
// libvirt's virScaleInteger: a bare letter or "iB" is a power of two, "B" a power of ten.
constexpr std::array<Unit, 14> kUnits{{{"b", 1},
                                       {"bytes", 1},
                                       {"KB", 1000},
                                       {"k", 1ull << 10},
                                       {"KiB", 1ull << 10},
                                       {"MB", 1000 * 1000},
                                       {"M", 1ull << 20},
                                       {"MiB", 1ull << 20},
                                       {"GB", 1000ull * 1000 * 1000},
                                       {"G", 1ull << 30},
                                       {"GiB", 1ull << 30},
                                       {"TB", 1000ull * 1000 * 1000 * 1000},
                                       {"T", 1ull << 40},
                                       {"TiB", 1ull << 40}}};

// "0-2,^1,4" as libvirt reads it: later parts add to or remove from earlier ones.
Result<std::vector<VcpuId>> read_cpu_list(const XmlElement& cell, const std::string& list,
                                          std::uint16_t vcpu_count) {
    const auto bad = [&] { return cell.error("cpus='" + list + "' is not a list of CPUs"); };
    if (list.size() > kMaxCpuListChars) return cell.error("cpus= is too long");
    std::vector<bool> chosen(vcpu_count, false);
    for (std::size_t at = 0; at <= list.size();) {
        const std::size_t comma = std::min(list.find(',', at), list.size());
        std::string_view part = std::string_view{list}.substr(at, comma - at);
        at = comma + 1;
        const bool keep = part.empty() || part.front() != '^';
        if (!keep) part.remove_prefix(1);
        const std::size_t dash = part.find('-');
        const auto first = parse_number(part.substr(0, dash), 0, 65535);
        const auto last =
            dash == std::string_view::npos ? first : parse_number(part.substr(dash + 1), 0, 65535);
        if (!first || !last || *first > *last) return bad();
        if (*last >= vcpu_count)
            return cell.error("cpus='" + list + "' names CPU " +
                              std::to_string(std::max<std::uint64_t>(*first, vcpu_count)) +
                              " but <vcpu> is " + std::to_string(vcpu_count));
        for (std::uint64_t cpu = *first; cpu <= *last; ++cpu) chosen[cpu] = keep;
    }
    std::vector<VcpuId> cpus;
    for (std::uint16_t cpu = 0; cpu < vcpu_count; ++cpu)
        if (chosen[cpu]) cpus.emplace_back(cpu);
    return cpus;
}

Result<Cell> read_cell(const XmlElement& element, std::size_t index, std::uint16_t vcpu_count) {
    VSMP_TRY(element.only_attributes({"id", "cpus", "memory", "unit"}));
    if (auto id = element.attribute("id"); id && parse_number(*id, index, index) != index)
        return element.error("id='" + *id + "': cells are numbered from 0 in order, this is " +
                             std::to_string(index));
    Cell cell{.element = element, .memory_bytes = 0, .vcpus = {}, .distances = {}};
    VSMP_TRY_ASSIGN(const std::string memory, element.required("memory"));
    VSMP_TRY_ASSIGN(cell.memory_bytes, read_size(element, memory));
    if (cell.memory_bytes == 0) return element.error("memory is 0");
    if (cell.memory_bytes % kMiB != 0)
        return element.error("memory is not a whole number of MiB (" +
                             std::to_string(cell.memory_bytes) + " bytes)");
    if (cell.memory_bytes > kMaxCellBytes) return element.error("memory is larger than 64 TiB");
    if (auto cpus = element.attribute("cpus")) {
        VSMP_TRY_ASSIGN(cell.vcpus, read_cpu_list(element, *cpus, vcpu_count));
    }
    return cell;
}

Result<void> read_distances(const XmlElement& distances, Cell& cell, std::size_t self,
                            std::size_t cells) {
    VSMP_TRY(distances.only_attributes({}));
    for (const XmlElement& sibling : distances.children()) {
        if (sibling.name() != "sibling") return sibling.error("is not supported in <distances>");
        VSMP_TRY(sibling.only_attributes({"id", "value"}));
        VSMP_TRY_ASSIGN(const std::string id, sibling.required("id"));
        VSMP_TRY_ASSIGN(const std::string value, sibling.required("value"));
        const auto to = parse_number(id, 0, cells - 1);
        if (!to) return sibling.error("id='" + id + "' is not the id of a cell");
        const auto distance = parse_number(value, 10, 255);
        if (!distance) return sibling.error("value='" + value + "' is not between 10 and 255");
        if ((*distance == 10) != (*to == self))
            return sibling.error("value='" + value + "': the distance is 10 to the cell itself " +
                                 "and more to every other");
        if (cell.distances[*to]) return sibling.error("a second distance to cell " + id);
        cell.distances[*to] = static_cast<std::uint8_t>(*distance);
    }
    return {};
}

Result<void> every_cpu_once(const XmlElement& numa, const std::vector<Cell>& cells,
                            std::uint16_t vcpu_count) {
    std::vector<std::optional<std::size_t>> cell_of(vcpu_count);
    for (std::size_t i = 0; i < cells.size(); ++i) {
        for (VcpuId cpu : cells[i].vcpus) {
            if (auto other = cell_of[cpu.value()])
                return cells[i].element.error("CPU " + std::to_string(cpu.value()) +
                                              " is already in cell " + std::to_string(*other));
            cell_of[cpu.value()] = i;
        }
    }
    for (std::size_t cpu = 0; cpu < vcpu_count; ++cpu)
        if (!cell_of[cpu]) return numa.error("CPU " + std::to_string(cpu) + " is in no cell");
    return {};
}

Result<std::vector<Cell>> read_numa(const XmlElement& numa, std::uint16_t vcpu_count) {
    VSMP_TRY(numa.only_attributes({}));
    std::vector<Cell> cells;
    for (const XmlElement& child : numa.children()) {
        if (child.name() != "cell") return child.error("is not supported in <numa>");
        if (cells.size() == kMaxNodes)
            return child.error("more than " + std::to_string(kMaxNodes) + " cells");
        VSMP_TRY_ASSIGN(Cell cell, read_cell(child, cells.size(), vcpu_count));
        cells.push_back(std::move(cell));
    }
    if (cells.empty()) return numa.error("has no <cell>; one per node is needed");
    for (std::size_t i = 0; i < cells.size(); ++i) {
        cells[i].distances.resize(cells.size());
        for (const XmlElement& child : cells[i].element.children()) {
            if (child.name() != "distances") return child.error("is not supported in <cell>");
            VSMP_TRY(read_distances(child, cells[i], i, cells.size()));
        }
    }
    VSMP_TRY(every_cpu_once(numa, cells, vcpu_count));
    return cells;
}

}  // namespace

Result<std::uint64_t> read_size(const XmlElement& element, const std::string& number) {
    const std::string unit = element.attribute("unit").value_or("KiB");
    const auto* known =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == unit; });
    if (known == kUnits.end()) return element.error("unit='" + unit + "' is not a unit");
    const auto value =
        parse_number(number, 0, std::numeric_limits<std::uint64_t>::max() / known->bytes);
    if (!value) return element.error("'" + number + "' is not a size");
    return *value * known->bytes;
}

Result<std::uint16_t> read_vcpu_count(const XmlElement& vcpu) {
    VSMP_TRY(vcpu.only_attributes({"placement", "current"}));
    VSMP_TRY(vcpu.no_children());
    if (vcpu.attribute("placement").value_or("static") != "static")
        return vcpu.error("placement other than 'static' is not supported yet");
    const auto count = parse_number(vcpu.text(), 1, 65535);
    if (!count) return vcpu.error("'" + vcpu.text() + "' is not a number of CPUs");
    if (*count > kMaxGuestVcpus)
        return vcpu.error(std::to_string(*count) + " CPUs; at most " +
                          std::to_string(kMaxGuestVcpus) + " are supported");
    if (auto current = vcpu.attribute("current");
        current && parse_number(*current, 1, 255) != count)
        return vcpu.error("current='" + *current + "': adding CPUs later is not supported yet");
    return static_cast<std::uint16_t>(*count);
}

Result<std::vector<Cell>> read_cells(const XmlElement& cpu, std::uint16_t vcpu_count) {
    VSMP_TRY(cpu.only_attributes({"mode", "check", "migratable"}));
    // Every guest sees what all its hosts have in common, which is what this mode comes closest to.
    const std::string mode = cpu.attribute("mode").value_or("host-passthrough");
    if (mode != "host-passthrough" && mode != "host-model")
        return cpu.error("mode='" + mode + "' is not supported yet; say host-passthrough");
    std::optional<XmlElement> numa;
    for (const XmlElement& child : cpu.children()) {
        if (child.name() != "numa") return child.error("is not supported yet");
        if (numa) return child.error("a second <numa>");
        numa = child;
    }
    if (!numa) return cpu.error("has no <numa>; one <cell> per node is needed");
    return read_numa(*numa, vcpu_count);
}

}  // namespace vsmp::config
