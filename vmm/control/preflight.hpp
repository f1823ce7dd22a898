// What has to be right before a guest is started. Pure but for load_boot_files.
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

struct BootFiles {
    std::vector<std::byte> kernel, initrd;
    GuestKind kind = GuestKind::operating_system;
};
// Reads both files; refuses a kernel that is neither a bzImage nor an x86-64 ELF file.
Result<BootFiles> load_boot_files(const BootConfig& boot);

// An ELF file with a note whose owner is "vsmp".
bool is_micro_guest(ByteView file);

using CpuidIntersect =
    std::function<Result<std::vector<CpuidLeaf>>(std::span<const std::vector<CpuidLeaf>>)>;

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
