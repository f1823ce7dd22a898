// Can this host run vsmp, and if not, everything that is missing in one message.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.hpp"

namespace vsmp::kvm {

enum class Paging : std::uint8_t {
    nested,  // NPT or EPT
    shadow,  // guest page tables are shadowed in software: not coherent across nodes
};

// What a host can be used for.
enum class Usability : std::uint8_t {
    nothing,      // see missing
    single_node,  // also: several nodes, for guests whose page tables never change
    everything,
};

struct Facts {
    std::string kernel_release;  // uname -r
    std::string kvm_module;      // kvm_amd, kvm_intel, or another; empty: unknown
    Paging paging = Paging::shadow;
    std::uint64_t tsc_khz = 0;         // 0: unknown
    std::vector<std::string> missing;  // one phrase each; empty when KVM is usable
};

struct KernelVersion {
    unsigned major = 0, minor = 0;
    friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
};
// The version at the start of what `uname -r` says.
std::optional<KernelVersion> parse_kernel_release(std::string_view release);

// Never fails: what cannot be found out is among `missing`.
Facts probe();

Usability usability(const Facts& facts);
// One line for a person: "this host cannot run vsmp: ...; ..." or, for a usable one, what holds.
std::string describe(const Facts& facts);

}  // namespace vsmp::kvm
