// MSRs that neither KVM nor our local APIC implements.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "kvm_glue/vcpu.hpp"

namespace vsmp::cpu {

struct MsrCount {
    std::uint32_t index = 0;
    std::uint64_t accesses = 0;
    kvm::MsrAnswer answer{};
};

// Known to be touched by operating systems and harmless when they read 0 and ignore writes.
bool is_harmless_msr(std::uint32_t index);

// Answers: harmless ones are done (reads give 0), all others raise #GP. Counts both.
// Threads: any.
class MsrPolicy {
  public:
    kvm::MsrAnswer access(std::uint32_t index);
    std::vector<MsrCount> counts() const;

  private:
    static constexpr std::size_t kMaxCounts = 64;  // different MSRs that are counted
    mutable std::mutex mutex_;
    std::vector<MsrCount> counts_;
};

}  // namespace vsmp::cpu
