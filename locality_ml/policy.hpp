// Ship or fetch: what to do when a vCPU needs a page that lives elsewhere.
//
// A policy belongs to one node and is called on its data-plane thread. It is asked for every
// remote fault, must answer in well under a microsecond and must not allocate after it was made.
// It is pure: what it knows it was told through the calls below, in this order of events, and the
// same calls give the same answers, bit for bit (trace.hpp records and replays them).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "proto/bytes.hpp"
#include "proto/check.hpp"
#include "proto/ids.hpp"
#include "proto/time.hpp"

namespace vsmp::locality {

// Where the vCPU's code was, in guest virtual addresses; 0 when not known.
using CodeAddress = Id<struct CodeAddressTag, std::uint64_t>;

enum class Mobility : std::uint8_t {
    free,
    stuck,  // the vCPU cannot leave now
};

struct RemoteFault {
    VcpuId vcpu;
    PageNumber page;
    Access access{};
    NodeId location;  // best guess of where the page is, never the asking node: what the
                      // directory says if it is here, else the page's home
    Mobility mobility = Mobility::free;
    CodeAddress code;
    Instant now;
};

// --- Decisions

inline constexpr std::size_t kMaxPrefetch = 16;

// Pages, in the order in which they are expected to be needed.
class PageList {
  public:
    bool empty() const { return size_ == 0; }
    bool full() const { return size_ == kMaxPrefetch; }
    std::size_t size() const { return size_; }
    void add(PageNumber page) {
        VSMP_CHECK(!full(), "more prefetched pages than a decision holds");
        pages_[size_++] = page;
    }
    auto begin() const { return pages_.begin(); }
    auto end() const { return pages_.begin() + static_cast<std::ptrdiff_t>(size_); }
    friend bool operator==(const PageList& a, const PageList& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end());
    }

  private:
    std::array<PageNumber, kMaxPrefetch> pages_{};
    std::size_t size_ = 0;
};

// The vCPU stays, its page comes; so do the others, if the fabric has room for them.
struct Fetch {
    PageList prefetch = {};
    friend bool operator==(const Fetch&, const Fetch&) = default;
};

enum class ShipReason : std::uint8_t {
    owner,          // to where the page is
    predicted_set,  // to where most of what it will need is
    gather,         // to the vCPU that it fights with over pages
    spread,         // to a node with nothing to do
};
struct Ship {
    NodeId to;
    ShipReason reason = ShipReason::owner;
    friend bool operator==(const Ship&, const Ship&) = default;
};
struct Stay {
    friend bool operator==(const Stay&, const Stay&) = default;
};

using Decision = std::variant<Fetch, Ship>;
using Placement = std::variant<Stay, Ship>;

// --- What a policy is told

// A fetch that was decided is over; `cost` is from the fault's being read to the vCPU's waking.
struct Fetched {
    VcpuId vcpu;
    PageNumber page;
    NodeId from;
    Duration cost{};
    Instant now;
};

// What became of a page that came because of Fetch::prefetch.
enum class PrefetchFate : std::uint8_t {
    used,    // touched here
    wasted,  // taken away untouched, or untouched for long
    missed,  // never came (the page was busy, or the fabric was)
};
struct Prefetched {
    VcpuId vcpu;  // whose fault it was
    PageNumber page;
    PrefetchFate fate{};
    Instant now;
};

// Another node took a page from this one. `access`: what it wants to do with it.
struct Lost {
    PageNumber page;
    Access access{};
    NodeId to;
    Instant now;
};

// A vCPU left this node. Comes after pack().
struct Departed {
    VcpuId vcpu;
    NodeId to;
    Instant now;
};

// A vCPU arrived, and runs. `luggage` is what pack() wrote on the other node; it comes from the
// wire: if it is nonsense, the vCPU begins with nothing learned.
struct Arrived {
    VcpuId vcpu;
    NodeId from;
    Duration blackout{};  // from its stop there
    ByteView luggage;
    Instant now;
};

// The ship that was decided did not happen: the vCPU stays, its page is fetched.
struct ShipFailed {
    VcpuId vcpu;
    NodeId to;
    Instant now;
};

enum class Reach : std::uint8_t { reachable, unreachable };

struct NodeLoad {
    std::uint8_t host = 0;  // nodes of one host share its CPUs and have the same number here
    float cpus = 1;         // of the host
    float runnable = 0;     // vCPUs on the host that want to run
    Reach reach = Reach::reachable;
};

using Observation = std::variant<Fetched, Prefetched, Lost, Departed, Arrived, ShipFailed>;

// How much of the time since it was last asked about a vCPU wanted to run (waiting for a page is
// wanting to), from 0 to 1.
struct Activity {
    VcpuId vcpu;
    float busy = 0;
    CodeAddress code;
    Instant now;
};

// --- What it tells

// Why a policy did with a vCPU what it did last. Times in microseconds, shares from 0 to 1.
struct Explanation {
    std::string_view policy;
    std::string_view why;  // one of the policy's own constants
    Instant when;          // of the decision; Instant{} if there was none
    PageNumber page;
    NodeId location;
    std::optional<NodeId> shipped_to;
    std::uint32_t prefetched = 0;

    // What the decision weighed, where the policy weighs.
    float fetch_us = 0, ship_us = 0;            // measured on this fabric, to `location`
    float stall_here = 0, stall_there = 0;      // expected share of time spent waiting
    float share_here = 0, share_there = 0;      // expected share of a CPU
    float useful_us = 0;                        // expected stay there
    float prefetch_accuracy = 0, coverage = 0;  // of prefetched pages used; of needs foreseen

    // Since the vCPU came into being, on this node.
    std::uint64_t faults = 0, ships = 0, explored = 0, phases = 0;
};

inline constexpr std::size_t kMaxLuggage = 1536;

class Policy {
  public:
    virtual ~Policy() = default;

    virtual Decision decide(const RemoteFault& fault) = 0;
    virtual void observe(const Observation&) {}

    // Loads by node, at most kMaxNodes; every few milliseconds. Before the first call no node is
    // loaded and all are reachable.
    virtual void on_loads(std::span<const NodeLoad>, Instant) {}
    // Asked every few milliseconds for each vCPU that is here, whether it faults or not.
    virtual Placement place(const Activity&) { return Stay{}; }
    // False: place() always answers Stay, so that nobody needs to find out how busy the vCPUs are.
    virtual bool places() const { return true; }

    // What goes with a vCPU that leaves for another node: at most kMaxLuggage bytes.
    virtual void pack(VcpuId, ByteWriter&) const {}
    virtual Explanation explain(VcpuId vcpu) const = 0;
};

// What a policy has to know of its node from the start.
struct PolicySetup {
    NodeId self;
    std::size_t node_count = 1;
    std::size_t vcpu_count = 1;
    std::uint64_t page_count = 0;
    std::uint64_t seed = 1;  // of exploration
};

}  // namespace vsmp::locality
