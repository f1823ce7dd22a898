// Faults and what comes of them, for tests of policies.
#pragma once

#include "locality_ml/policies.hpp"

namespace vsmp::locality::test {

using namespace std::chrono_literals;

inline constexpr VcpuId kVcpu{0};
inline constexpr Instant kStart{std::chrono::seconds(1)};

inline RemoteFault remote_fault(std::uint64_t page, NodeId location, Instant now,
                                VcpuId vcpu = kVcpu) {
    return {.vcpu = vcpu,
            .page = PageNumber{page},
            .access = Access::read,
            .location = location,
            .mobility = Mobility::free,
            .code = CodeAddress{0x1000},
            .now = now};
}

inline PolicySetup node(std::uint8_t self, std::size_t nodes = 2) {
    return {.self = NodeId{self},
            .node_count = nodes,
            .vcpu_count = 4,
            .page_count = 1 << 20,
            .seed = 1};
}

// A vCPU that faults on page after page of `location`, as fast as they come. How many it fetched
// before it was shipped, at most `faults`.
inline std::size_t fetches_until_ship(Policy& policy, NodeId location, Instant& now,
                                      std::size_t faults) {
    for (std::size_t i = 0; i < faults; ++i) {
        const PageNumber page{1000 + 3 * i * i};
        const Decision decision = policy.decide(remote_fault(page.value(), location, now));
        if (std::holds_alternative<Ship>(decision)) return i;
        now += 140us;
        policy.observe(Fetched{kVcpu, page, location, 140us, now});
        now += 1us;
    }
    return faults;
}

}  // namespace vsmp::locality::test
