#include "vmm/config/domain_xml.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "vmm/config/printable.hpp"
#include "vmm/config/sections.hpp"

namespace vsmp::config {
namespace {

// An instruction, and all the page-table pages on its way, must fit.
constexpr std::uint64_t kLeastRoomForCopies = std::uint64_t{1} << 20;
constexpr const char* kLibvirtSchema = "/usr/share/libvirt/schemas/domain.rng";
constexpr std::size_t kMaxNameChars = 64;  // it becomes the name of a socket
constexpr std::uint8_t kDefaultDistance = 20;

using Sections = std::map<std::string, XmlElement, std::less<>>;

// The sections of <domain>, each at most once; anything we could not honour is an error.
Result<Sections> split(const XmlElement& domain, std::vector<std::string>& warnings) {
    static constexpr std::string_view read_here[] = {
        "name", "uuid", "metadata", "memory", "currentMemory", "vcpu", "os", "cpu", "devices"};
    Sections sections;
    for (const XmlElement& child : domain.children()) {
        if (!child.name_space().empty()) {
            if (child.label() != "qemu:commandline") return child.error("is not supported");
            warnings.push_back(child.message("has no meaning for vsmp-run"));
            continue;
        }
        if (!sections.emplace(child.name(), child).second)
            return child.error("a second <" + child.label() + ">");
        if (std::find(std::begin(read_here), std::end(read_here), child.name()) !=
            std::end(read_here))
            continue;
        VSMP_TRY_ASSIGN(const bool known, check_other(child, warnings));
        if (!known) return child.error("is not supported yet");
    }
    for (const char* needed : {"name", "memory", "vcpu", "os", "cpu", "metadata"})
        if (sections.find(needed) == sections.end())
            return domain.error(std::string{"has no <"} + needed + ">");
    return sections;
}

Result<std::string> read_name(const XmlElement& element) {
    VSMP_TRY(element.only_attributes({}));
    std::string name = element.text();
    if (printable(name) != name) return element.error("has a control character in it");
    if (name.empty() || name.size() > kMaxNameChars || name.front() == '.' ||
        name.find('/') != name.npos)
        return element.error("'" + name + "' is not a name: 1 to 64 characters, no '/', no " +
                             "leading '.'");
    return name;
}

Result<void> check_memory(const Sections& sections, const std::vector<Cell>& cells,
                          std::vector<std::string>& warnings) {
    const XmlElement& memory = sections.at("memory");
    VSMP_TRY(memory.only_attributes({"unit"}));
    VSMP_TRY_ASSIGN(const std::uint64_t bytes, read_size(memory, memory.text()));
    if (bytes == 0) return memory.error("is 0");
    if (bytes % kPageSize != 0) return memory.error("is not a whole number of 4 KiB pages");
    if (auto current = sections.find("currentMemory"); current != sections.end()) {
        VSMP_TRY_ASSIGN(const std::uint64_t now,
                        read_size(current->second, current->second.text()));
        if (now != bytes)
            return current->second.error("differs from <memory>: ballooning is not supported yet");
    }
    std::uint64_t sum = 0;
    for (const Cell& cell : cells) sum += cell.memory_bytes;
    if (sum != bytes)
        warnings.push_back(
            memory.message("is " + std::to_string(bytes >> 10) + " KiB but the cells add up to " +
                           std::to_string(sum >> 10) + " KiB, which is used (as libvirt does)"));
    return {};
}

// Cells and nodes are one to one.
Result<void> join_cells(GuestConfig& guest, const Cluster& cluster,
                        const std::vector<Cell>& cells) {
    for (const ClusterNode& node : cluster.nodes)
        if (node.cell >= cells.size())
            return node.element.error("there is no cell " + std::to_string(node.cell));
    for (std::size_t cell = 0; cell < cells.size(); ++cell)
        if (std::none_of(cluster.nodes.begin(), cluster.nodes.end(),
                         [&](const ClusterNode& node) { return node.cell == cell; }))
            return cells[cell].element.error("no <vsmp:node> has cell='" + std::to_string(cell) +
                                             "'");
    const std::size_t count = cluster.nodes.size();
    guest.distances.assign(count, std::vector<std::uint8_t>(count, kDefaultDistance));
    for (std::size_t from = 0; from < count; ++from) {
        NodeConfig node = cluster.nodes[from].config;
        const Cell& cell = cells[cluster.nodes[from].cell];
        node.memory_bytes = cell.memory_bytes;
        if (node.memory_limit_bytes != 0 &&
            node.memory_limit_bytes < cell.memory_bytes + kLeastRoomForCopies)
            return cluster.nodes[from].element.error(
                "a limit of " + std::to_string(node.memory_limit_bytes >> 20) +
                " MiB does not leave 1 MiB beside its cell's " +
                std::to_string(cell.memory_bytes >> 20) + " MiB");
        node.vcpus = cell.vcpus;
        guest.nodes.push_back(std::move(node));
        for (std::size_t to = 0; to < count; ++to) {
            const Cell& other = cells[cluster.nodes[to].cell];
            // As libvirt does: a distance given one way only counts both ways.
            const auto given = cell.distances[cluster.nodes[to].cell];
            const auto back = other.distances[cluster.nodes[from].cell];
            guest.distances[from][to] =
                from == to ? std::uint8_t{10} : given.value_or(back.value_or(kDefaultDistance));
        }
    }
    return {};
}

Result<DomainXml> interpret(const XmlElement& domain) {
    if (domain.name() != "domain" || !domain.name_space().empty())
        return domain.error("is not a libvirt <domain>");
    VSMP_TRY(domain.only_attributes({"type", "id"}));
    const std::string type = domain.attribute("type").value_or("");
    if (type != "kvm") return domain.error("type='" + type + "' is not supported; only kvm is");
    DomainXml result;
    VSMP_TRY_ASSIGN(const Sections sections, split(domain, result.warnings));
    GuestConfig& guest = result.guest;
    VSMP_TRY_ASSIGN(guest.name, read_name(sections.at("name")));
    if (auto uuid = sections.find("uuid"); uuid != sections.end()) guest.uuid = uuid->second.text();
    VSMP_TRY_ASSIGN(guest.vcpu_count, read_vcpu_count(sections.at("vcpu")));
    VSMP_TRY_ASSIGN(const std::vector<Cell> cells,
                    read_cells(sections.at("cpu"), guest.vcpu_count));
    VSMP_TRY(check_memory(sections, cells, result.warnings));
    VSMP_TRY_ASSIGN(guest.boot, read_os(sections.at("os")));
    if (auto devices = sections.find("devices"); devices != sections.end())
        VSMP_TRY(check_devices(devices->second));
    VSMP_TRY_ASSIGN(const Cluster cluster, read_cluster(sections.at("metadata")));
    VSMP_TRY(check_links(cluster.nodes));
    VSMP_TRY(join_cells(guest, cluster, cells));
    if (!cluster.policy.empty()) guest.policy = cluster.policy;
    if (cluster.hold) guest.hold = *cluster.hold;
    guest.vlan = cluster.vlan;
    guest.spread = cluster.spread;
    guest.fabric = cluster.fabric;
    return result;
}

Result<XmlDocument> parse_bounded(std::string_view xml, const std::string& file_name) {
    if (xml.size() > kMaxDomainXmlBytes) return Error{file_name + ": larger than 1 MiB"};
    return XmlDocument::parse(xml, file_name);
}

Result<std::string> read_bounded(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    if (!file) return Error::from_errno(path);
    std::string bytes(kMaxDomainXmlBytes + 1, '\0');
    errno = 0;
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (file.bad() || (file.fail() && !file.eof()) || errno == EISDIR)
        return Error::from_errno(path);
    bytes.resize(static_cast<std::size_t>(file.gcount()));
    return bytes;
}

}  // namespace

Result<DomainXml> parse_domain_xml(std::string_view xml, const std::string& file_name) {
    VSMP_TRY_ASSIGN(const XmlDocument document, parse_bounded(xml, file_name));
    return interpret(document.root());
}

Result<DomainXml> read_domain_xml(const std::string& path) {
    VSMP_TRY_ASSIGN(const std::string bytes, read_bounded(path));
    VSMP_TRY_ASSIGN(const XmlDocument document, parse_bounded(bytes, path));
    // Ours first: its messages are better than a grammar's.
    VSMP_TRY_ASSIGN(DomainXml result, interpret(document.root()));
    if (::access(kLibvirtSchema, R_OK) == 0) {
        if (auto invalid = document.validate(kLibvirtSchema)) return *invalid;
    } else {
        result.warnings.push_back(std::string{kLibvirtSchema} + " is not installed (package " +
                                  "libvirt0): the XML was checked by vsmp only");
    }
    return result;
}

}  // namespace vsmp::config
