// What a decision costs, with what the policy learns on the way: tools/dev bench decide [--json].
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "locality_ml/policies.hpp"

namespace {

using namespace vsmp;
using namespace vsmp::locality;
using namespace std::chrono_literals;

constexpr std::size_t kFaults = 400'000;

double ticks_per_ns() {
    const auto from = std::chrono::steady_clock::now();
    const auto tsc = __rdtsc();
    while (std::chrono::steady_clock::now() - from < 50ms) {
    }
    const auto passed = __rdtsc() - tsc;
    const std::chrono::duration<double, std::nano> ns = std::chrono::steady_clock::now() - from;
    return static_cast<double>(passed) / ns.count();
}

// Faults of 16 vCPUs on pages half in sequence, half at random.
std::vector<std::uint64_t> time_decisions(Policy& policy) {
    std::vector<std::uint64_t> ticks;
    ticks.reserve(kFaults);
    Instant now{1s};
    std::uint32_t random = 1;
    for (std::size_t i = 0; i < kFaults; ++i) {
        random = random * 1664525 + 1013904223;
        const VcpuId vcpu{static_cast<std::uint16_t>(i % 16)};
        const PageNumber page{(i & 1) != 0 ? i % 16 * 4096 + i / 32 : random >> 12};
        now += 10us + Duration{random >> 16};
        const RemoteFault fault{.vcpu = vcpu,
                                .page = page,
                                .access = Access::read,
                                .location = NodeId{1},
                                .mobility = Mobility::free,
                                .code = CodeAddress{(random >> 28) * 4096},
                                .now = now};
        const auto before = __rdtsc();
        const Decision decision = policy.decide(fault);
        ticks.push_back(__rdtsc() - before);
        now += 10us;
        if (std::holds_alternative<Fetch>(decision)) {
            policy.observe(Fetched{vcpu, page, NodeId{1}, 10us, now});
            for (const PageNumber other : std::get<Fetch>(decision).prefetch)
                policy.observe(Prefetched{vcpu, other, PrefetchFate::used, now});
        } else {
            policy.observe(ShipFailed{vcpu, NodeId{1}, now});
        }
    }
    std::sort(ticks.begin(), ticks.end());
    return ticks;
}

}  // namespace

int main(int argc, char** argv) {
    const bool json = argc > 1 && std::strcmp(argv[1], "--json") == 0;
    const double per_ns = ticks_per_ns();
    bool first = true;
    if (json)
        std::printf("{");
    else
        std::printf("ns per decision        median      p99\n");
    for (const char* name : {"always-fetch", "always-ship", "threshold", "learned"}) {
        const auto policy = *make_policy(name, {.self = NodeId{0},
                                                .node_count = 2,
                                                .vcpu_count = 16,
                                                .page_count = 1 << 20,
                                                .seed = 1});
        const auto ticks = time_decisions(*policy);
        const double median = static_cast<double>(ticks[kFaults / 2]) / per_ns;
        const double p99 = static_cast<double>(ticks[kFaults / 100 * 99]) / per_ns;
        if (json)
            std::printf("%s\"%s\": {\"median_ns\": %.0f, \"p99_ns\": %.0f}", first ? "" : ", ",
                        name, median, p99);
        else
            std::printf("%-20s %8.0f %8.0f\n", name, median, p99);
        first = false;
    }
    if (json) std::printf("}\n");
    return 0;
}
