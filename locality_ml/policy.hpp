// Ship or fetch: what to do when a vCPU needs a page that lives elsewhere. A policy is asked on
// the data-plane thread for every remote fault, must answer in well under a microsecond and must
// not allocate. It is pure: what it knows it was told.
#pragma once

#include <memory>
#include <string_view>
#include <variant>

#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::locality {

struct RemoteFault {
    VcpuId vcpu;
    PageNumber page;
    Access access{};
    NodeId location;       // best guess of where the page is, never the asking node: what the
                           // directory says if it is here, else the page's home
    bool may_ship = true;  // false when the vCPU cannot leave now
    Instant now;
};

struct Fetch {};
struct Ship {
    NodeId to;
};
using Decision = std::variant<Fetch, Ship>;

class Policy {
  public:
    virtual ~Policy() = default;
    virtual Decision decide(const RemoteFault& fault) = 0;
    // A vCPU arrived on this node or left it; its history starts anew.
    virtual void on_moved(VcpuId vcpu, Instant now) = 0;
};

// always-fetch: never ships.
std::unique_ptr<Policy> make_always_fetch();

struct ThresholdOptions {
    std::uint32_t faults = 32;                       // this many remote faults to one node...
    Duration window = std::chrono::milliseconds(2);  // ...within this time, ship there
    Duration rest = std::chrono::milliseconds(20);   // and stay at least so long
};
std::unique_ptr<Policy> make_threshold(ThresholdOptions options);

// By name, as in the domain XML: "always-fetch", "threshold". Others are an error that says so.
Result<std::unique_ptr<Policy>> make_policy(std::string_view name);

}  // namespace vsmp::locality
