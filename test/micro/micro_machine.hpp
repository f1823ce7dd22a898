// Runs a micro-guest on one KVM with plain memory: the reference for what the programs do when
// nothing is distributed. A tiny x2APIC carries their interrupts.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "kvm_glue/vcpu.hpp"
#include "proto/bytes.hpp"
#include "proto/result.hpp"

namespace vsmp::test {

struct MicroRun {
    ByteView program;
    std::uint16_t vcpus = 1;
    std::uint64_t memory_bytes = 16u << 20;
    std::array<std::uint64_t, 16> arguments{};
    // When set, every vCPU is interrupted about each millisecond, and this is called in its thread
    // while it does not run, with the guest's memory.
    using Interlude = std::function<void(kvm::Vcpu&, std::span<std::byte> memory)>;
    Interlude interlude;
};

struct MicroReport {
    std::uint32_t code = 0;
    std::uint64_t value = 0;
};

// How one vCPU ended.
struct MicroOutcome {
    std::uint32_t status = ~0u;  // as given to kFinishPort; ~0: it never finished
    std::uint64_t value = 0;
    std::string trouble;  // not empty: it could not go on, and why
    std::vector<MicroReport> reports;

    std::vector<std::uint64_t> values(std::uint32_t code) const;
};

// One outcome a vCPU. When one fails the others are stopped. An error: it could not be started, or
// nothing came to an end within 30 s.
Result<std::vector<MicroOutcome>> run_micro(const MicroRun& what);

}  // namespace vsmp::test
