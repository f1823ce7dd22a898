// What has to be right before a guest is started. Pure but for load_boot_files and check_folders.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vmm/node/node.hpp"

namespace vsmp::control {

// "node 1 (local)", for messages.
std::string node_label(const NodeConfig& node);

// --local COUNT: every node runs here. Without it, 'auto' links need all hosts to be 'local'.
Result<void> place_nodes(GuestConfig& guest, std::optional<unsigned> local_count);

// Folders of this machine where its nodes will make files: for frames, for sockets of links.
Result<void> check_folders(const GuestConfig& placed);

struct BootFiles {
    std::vector<std::byte> kernel, initrd;
    GuestKind kind = GuestKind::operating_system;
};
// Reads both files; refuses a kernel that is neither a bzImage nor an x86-64 ELF file.
Result<BootFiles> load_boot_files(const BootConfig& boot);

// An ELF file with a note whose owner is "vsmp".
bool is_micro_guest(ByteView file);

// What this layer leaves to those that know processors, kernels and policies.
using CpuidIntersect =
    std::function<Result<std::vector<CpuidLeaf>>(std::span<const std::vector<CpuidLeaf>>)>;
using GuestCheck = std::function<Result<void>(const GuestConfig&, const BootFiles&)>;
struct Experts {
    CpuidIntersect intersect;  // the CPU that all hosts can be
    GuestCheck check;          // whether a node will take the boot files and the policy
};

struct CommonGround {
    std::vector<CpuidLeaf> cpuid;
    std::uint64_t tsc_khz = 0;
};
// facts: one per node. Errors name the node that does not fit: Linux older than 6.4, no nested
// paging (for an operating system on several nodes), a TSC of another frequency.
Result<CommonGround> find_common_ground(const GuestConfig& guest, GuestKind kind,
                                        const std::vector<NodeFacts>& facts,
                                        const CpuidIntersect& intersect);

}  // namespace vsmp::control
