// What the guests of the simulation do: each is a program for a few vCPUs, a step at a time. Pure
// and seeded. The names are those of the workloads that docs/locality.md lists.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "locality_ml/policy.hpp"

namespace vsmp::locality::sim {

enum class OpKind : std::uint8_t { touch, idle, end };

// Compute, then touch the page; or halt for the time; or the vCPU is done.
struct Op {
    OpKind kind = OpKind::touch;
    Duration compute{};
    PageNumber page;
    Access access{};
    CodeAddress code;
};

class Workload {
  public:
    virtual ~Workload() = default;
    virtual std::size_t vcpu_count() const = 0;
    virtual std::uint64_t page_count() const = 0;
    virtual NodeId start_of(VcpuId) const { return NodeId{0}; }
    // Where a page is when it begins.
    virtual NodeId place_of(PageNumber page) const = 0;
    virtual float cpus_per_host() const { return 2; }
    // Pages that a node may hold; 0: any number.
    virtual std::uint64_t node_capacity() const { return 0; }
    // The next step of a vCPU that is on `node` and has finished the one before.
    virtual Op next(VcpuId vcpu, NodeId node) = 0;
    // Units of work done so far; for curves of progress.
    virtual std::uint64_t progress() const = 0;
};

struct NamedWorkload {
    std::string_view name;
    std::string_view what;
    std::unique_ptr<Workload> (*make)(std::uint64_t seed);
};
// Two nodes on two hosts.
const std::vector<NamedWorkload>& workloads();

// Touches only pages that are elsewhere: whatever a policy does was wrong.
std::unique_ptr<Workload> make_adversary(std::uint64_t steps);

}  // namespace vsmp::locality::sim
