// One node: its share of the guest's machine, wired together. main() of vsmp-node makes one and
// talks to it from the control thread; the data plane and the vCPUs have threads of their own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dpdk_transport/fabric.hpp"
#include "page_fault_broker/core/ahead_ledger.hpp"
#include "page_fault_broker/core/companions.hpp"
#include "proto/cpuid_leaf.hpp"
#include "proto/result.hpp"
#include "vmm/config/guest_config.hpp"

namespace vsmp {

// What a node reports before the guest exists, so that the launcher can find what all share.
struct NodeFacts {
    std::string host_kernel;
    std::uint64_t tsc_khz = 0;
    bool nested_paging = false;
    std::vector<CpuidLeaf> cpuid;  // KVM_GET_SUPPORTED_CPUID, and TSC-deadline timers or not
};
Result<NodeFacts> gather_node_facts();

// What the kernel file is; vsmp-run tells every node because only node 0 sees the file.
enum class GuestKind : std::uint8_t {
    operating_system,  // has page tables that change: a multi-node guest needs nested paging
    micro_guest,       // one of our own test programs (ELF with a "vsmp" note), fixed page tables
};

struct NodeSetup {
    GuestConfig guest;
    GuestKind kind = GuestKind::operating_system;
    NodeId self;
    std::uint64_t incarnation =
        0;  // differs for each start of a guest; frames of others are dropped
    std::vector<CpuidLeaf> cpuid;  // common to all nodes
    std::uint64_t tsc_khz = 0;
    std::vector<std::byte> kernel;  // node 0 only
    std::vector<std::byte> initrd;
};

// What a vCPU does at the moment; vsmp-run spreads the vCPUs once the guest has come to rest.
enum class VcpuActivity : std::uint8_t {
    waiting,  // for INIT and SIPI: the guest has not started it
    running,
    halted,  // in HLT, nothing pending
};

// What the node's policy did with a vCPU last, and why.
struct PolicyDecision {
    std::string policy, why;
    std::optional<Duration> ago;  // none: nothing was decided yet, and what follows means nothing
    PageNumber page;
    NodeId location;
    std::optional<NodeId> shipped_to;
    std::vector<std::pair<std::string, double>> numbers;  // what it weighed, by name
};

// Of guest RAM on a node, in pages.
struct MemoryStats {
    std::uint64_t resident = 0;  // by our own count, and the most it ever was
    std::uint64_t resident_max = 0;
    std::uint64_t resident_kernel = 0;  // by the kernel's
    std::uint64_t limit = 0;            // 0: none
    std::uint64_t dropped = 0;          // evicted: copies that their home has as well
    std::uint64_t written_back = 0;     // evicted: pages that their home took
    std::uint64_t discarded = 0;        // given back to the host, those two among them
    std::uint64_t revalidated = 0;      // fetched as the word that the old copy is still good
    std::uint64_t waits = 0;            // faults that had to wait until there was memory
    // Ranges of 2 MiB that became a large page, were split again, that the kernel refused.
    std::uint64_t large_made = 0, large_split = 0, large_failed = 0;
};

struct NodeStats {
    struct VcpuStats {
        VcpuId id;
        bool here = false;
        std::uint64_t exits = 0;
        VcpuActivity activity = VcpuActivity::waiting;  // meaningful where `here`
        PolicyDecision decision = {};
    };
    std::uint64_t faults = 0, fetches_read = 0, fetches_write = 0, upgrades = 0;
    std::uint64_t invalidations = 0;  // pages taken from this node's vCPUs
    std::uint64_t zero_pages = 0;     // fetches answered with a flag instead of contents
    std::uint64_t prefetches = 0;     // pages the policy asked for; of use or not (pilot.hpp):
    std::uint64_t prefetch_used = 0, prefetch_wasted = 0;
    coherence::ReadAheadCounters read_ahead;
    std::uint64_t hold_us = 0;  // a page that was obtained stays so long at least, now
    coherence::CompanionCounters companions;
    MemoryStats memory;
    std::uint64_t ships_out = 0, ships_in = 0;
    std::uint64_t ship_frame_bytes_max = 0;
    std::vector<std::uint32_t> ship_blackout_us;  // one per arrival, newest last, bounded
    std::vector<std::uint32_t> ship_frame_bytes;
    std::vector<VcpuStats> vcpus;
    fabric::PeerCounters fabric;  // summed over peers
    struct PathTo {
        NodeId peer;
        fabric::PathStats stats;
    };
    std::vector<PathTo> paths;  // by peer, then by port
    fabric::DropCounters drops;
};

enum class GuestEnd : std::uint8_t { power_off, reset, crashed };

// Called from any of the node's threads; must not block and not call back into Node.
class NodeObserver {
  public:
    virtual ~NodeObserver() = default;
    virtual void on_links_up() = 0;
    virtual void on_console_output(std::string bytes) = 0;
    virtual void on_guest_ended(GuestEnd how, std::string detail) = 0;
    virtual void on_notice(std::string text) = 0;  // for a person; the node goes on
    virtual void on_failed(Error error) = 0;       // this node cannot go on; the guest is lost
};

class Node {
  public:
    virtual ~Node() = default;  // stops everything and joins the threads
    // Opens the link and waits for the peers without running the guest.
    static Result<std::unique_ptr<Node>> create(NodeSetup setup, NodeObserver& observer);

    // All nodes' links are up: load the kernel (node 0) and let the vCPUs run.
    virtual Result<void> start() = 0;
    virtual void console_input(std::string bytes) = 0;
    // Asks a vCPU that is here to go elsewhere. An error when it is not here or no such node is;
    // the ship itself happens soon after, see stats().
    virtual Result<void> ship(VcpuId vcpu, NodeId to) = 0;
    // From now on the policy of that name decides, and begins with nothing learned.
    virtual Result<void> set_policy(const std::string& name) = 0;
    virtual NodeStats stats() const = 0;
};

}  // namespace vsmp
