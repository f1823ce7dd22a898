// The parts of the XML reader; internal to vmm/config. Each reads one section into plain values
// that remember their element, so that the cross checks in domain_xml.cpp can name it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/config/guest_config.hpp"
#include "vmm/config/xml_document.hpp"

namespace vsmp::config {

inline constexpr const char* kVsmpNamespace = "urn:vsmp:domain:1";
inline constexpr std::uint16_t kMaxGuestVcpus = 255;  // APIC ID 255 is broadcast (SDM 3A, 11.6)

// <cell> of <cpu><numa>; id = index.
struct Cell {
    XmlElement element;
    std::uint64_t memory_bytes = 0;
    std::vector<VcpuId> vcpus;
    std::vector<std::optional<std::uint8_t>> distances;  // to each cell, where given
};

// <vsmp:cluster>
struct ClusterNode {
    XmlElement element;
    NodeConfig config;  // memory_bytes and vcpus not yet filled in
    std::size_t cell = 0;
};
struct Cluster {
    XmlElement element;
    std::vector<ClusterNode> nodes;  // index = node id
    std::string policy;
    std::optional<Duration> hold;
    std::uint16_t vlan = 0;
    Spread spread = Spread::round_robin;
    FabricConfig fabric;
};

// A size with libvirt's units ("KiB" when there is no unit attribute), in bytes.
Result<std::uint64_t> read_size(const XmlElement& element, const std::string& number);

Result<std::uint16_t> read_vcpu_count(const XmlElement& vcpu);
// `vcpu_count` from <vcpu>: cells may name those CPUs only, and each of them once.
Result<std::vector<Cell>> read_cells(const XmlElement& cpu, std::uint16_t vcpu_count);
Result<Cluster> read_cluster(const XmlElement& metadata);
// Links that exclude each other. Whether hosts and 'auto' go together depends on --local too.
Result<void> check_links(const std::vector<ClusterNode>& nodes);
Result<FabricConfig> read_fabric(const XmlElement& element);
Result<BootConfig> read_os(const XmlElement& os);
Result<void> check_devices(const XmlElement& devices);
// Elements that need no reading but must not ask for what we cannot do. False: not one of them.
Result<bool> check_other(const XmlElement& element, std::vector<std::string>& warnings);

}  // namespace vsmp::config
