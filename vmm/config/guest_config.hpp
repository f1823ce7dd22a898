// A guest as its domain XML describes it, checked: what every node of it must know.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "page_fault_broker/core/companions.hpp"
#include "page_fault_broker/core/read_ahead.hpp"
#include "proto/ids.hpp"
#include "proto/time.hpp"
#include "vmm/config/fabric_config.hpp"

namespace vsmp {

// One way by which a node reaches others; one <vsmp:link> of the XML.
struct AfPacketLink {
    std::string interface;  // existing network interface, e.g. one end of a veth pair
};
struct VhostUserLink {  // two nodes of one host: virtio_user server here, vhost client there
    std::string socket;
};
struct PciLink {
    std::string address;  // domain:bus:device.function
};
// Nodes of one host, no link named: vsmp-run makes it itself.
struct AutoLink {};
using LinkConfig = std::variant<AutoLink, AfPacketLink, VhostUserLink, PciLink>;
inline constexpr std::size_t kMaxLinks = 8;

struct NodeConfig {
    NodeId id;
    std::string host;                      // "local", or HOST[:PORT] of a vsmpd
    std::uint64_t memory_bytes = 0;        // what its NUMA cell contributes; whole MiB
    std::uint64_t memory_limit_bytes = 0;  // guest pages it may hold, copies of others' among them;
                                           // whole MiB, more than memory_bytes; 0: no limit
    std::vector<VcpuId> vcpus;             // of its NUMA cell; may be empty
    std::vector<LinkConfig> links;  // 1 to kMaxLinks; they share what goes to a peer behind several
};

struct BootConfig {
    std::string kernel;  // path on the machine of vsmp-run
    std::string initrd;  // empty: none
    std::string command_line;
};

// What to do with a vCPU once the guest is up.
enum class Spread : std::uint8_t {
    none,         // all stay on node 0 until told otherwise
    round_robin,  // each goes to the node whose NUMA cell lists it
};

struct GuestConfig {
    std::string name;
    std::string uuid;
    std::uint16_t vcpu_count = 0;
    std::vector<NodeConfig> nodes;                     // index = NodeId
    std::vector<std::vector<std::uint8_t>> distances;  // SLIT, [from][to]; 10 on the diagonal
    BootConfig boot;
    std::string policy = "always-fetch";
    Spread spread = Spread::round_robin;
    Duration hold = std::chrono::microseconds(500);
    std::uint64_t read_ahead = coherence::kMaxReadAhead;  // pages, at most that many; 0: none
    std::uint64_t companions = 0;  // pages fetched together with one; 0: none
    bool large_pages = false;      // private memory is mapped with 2 MiB pages where it can be
    std::uint16_t vlan = 0;        // 0: untagged
    FabricConfig fabric;
};

}  // namespace vsmp
