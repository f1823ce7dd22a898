// What the ship-or-fetch policies of the nodes tell each other. On fabric::Channel::locality.
#pragma once

#include <optional>
#include <variant>

#include "locality_ml/policy.hpp"
#include "proto/bytes.hpp"
#include "proto/ids.hpp"

namespace vsmp {

// Sent to all when it changes, and now and then.
struct LoadReport {
    std::uint64_t cpu_set = 0;  // nodes with the same number share their CPUs
    std::uint16_t cpus = 1;
    std::uint32_t runnable_permille = 0;  // of vCPUs there, waiting for a page included

    friend bool operator==(const LoadReport&, const LoadReport&) = default;
};

// Goes before a vCPU's state: what the policy knows of it (locality::Policy::pack).
struct Luggage {
    VcpuId vcpu;
    ByteView bytes;  // at most locality::kMaxLuggage; points into what was decoded
};

using PolicyMessage = std::variant<LoadReport, Luggage>;

// kind u8, then the fields in order; at most this many bytes.
inline constexpr std::size_t kMaxPolicyMessage = locality::kMaxLuggage + 16;
void encode(const PolicyMessage& message, ByteWriter& to);
// nullopt: unknown kind, wrong length, no CPUs, a vCPU out of range.
std::optional<PolicyMessage> decode_policy_message(ByteView bytes, std::size_t vcpu_count);

}  // namespace vsmp
