// The policies there are.
#pragma once

#include <memory>
#include <string_view>

#include "locality_ml/policy.hpp"
#include "proto/result.hpp"

namespace vsmp::locality {

// Never ships, never prefetches.
std::unique_ptr<Policy> make_always_fetch();

// Ships to wherever the page is, unless the vCPU cannot leave or that node is out of reach. Right
// after an arrival it fetches, or two vCPUs that look for each other would pass each other for
// ever.
struct AlwaysShipOptions {
    Duration rest = std::chrono::microseconds(500);
};
std::unique_ptr<Policy> make_always_ship(AlwaysShipOptions options);

struct ThresholdOptions {
    std::uint32_t faults = 8;                        // this many remote faults to one node...
    Duration window = std::chrono::milliseconds(4);  // ...within this time, ship there
    Duration rest = std::chrono::milliseconds(20);   // and stay at least so long
};
std::unique_ptr<Policy> make_threshold(ThresholdOptions options);

// Learns online what each choice costs and how it turns out: learned/learned.cpp.
std::unique_ptr<Policy> make_learned(const PolicySetup& setup);

// By name, as in the domain XML. Others are an error that says which there are.
Result<std::unique_ptr<Policy>> make_policy(std::string_view name, const PolicySetup& setup);

}  // namespace vsmp::locality
