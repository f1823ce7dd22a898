// Between a node and its ship-or-fetch policy: asks it for every fault on a page that is elsewhere
// and, every few milliseconds, for every vCPU that is here; carries out what it answers; and tells
// it what that cost and how loaded the nodes are. Owned by the data-plane thread.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "locality_ml/policy.hpp"
#include "page_fault_broker/io/broker.hpp"
#include "vmm/node/policy_message.hpp"
#include "vmm/node/vcpu_directory.hpp"

namespace vsmp {

struct PilotOptions {
    NodeId self;
    std::size_t node_count = 1;
    std::size_t vcpu_count = 1;
    std::uint64_t cpu_set = 0;  // see LoadReport
    std::uint16_t cpus = 1;
};

struct PilotHooks {
    // How long the vCPU had nothing to do, in all the time that this node's thread for it exists.
    std::function<Duration(VcpuId vcpu)> idle_time;
    // To one node, or to all others.
    std::function<void(std::optional<NodeId> to, const PolicyMessage& message)> send;
};

struct PilotCounters {
    std::uint64_t decisions = 0;
    std::uint64_t ships_by_fault = 0, ships_by_placement = 0;  // asked for and accepted
    std::uint64_t ships_refused = 0;                           // the vCPU could not leave
    // Of pages fetched ahead; of many together by sample (see prefetch()).
    std::uint64_t prefetch_used = 0, prefetch_wasted = 0;
};

class Pilot final : public BrokerObserver {
  public:
    // Everything referred to outlives it. Becomes the broker's observer.
    Pilot(PilotOptions options, PilotHooks hooks, locality::Policy& policy, Broker& broker,
          VcpuDirectory& directory);
    ~Pilot() override;
    Pilot(const Pilot&) = delete;

    // Another policy decides from now on.
    void use(locality::Policy& policy);

    // A fault of `vcpu` on a page that is not here. Either the vCPU was asked to leave, or the page
    // is to be fetched; prefetch() is then due, after the broker was told of the fault.
    enum class Course : std::uint8_t { fetch, shipping };
    Course on_fault(const Userfault& fault, VcpuId vcpu, Instant now);
    void prefetch(Access access, Instant now);
    // A vCPU that was asked to leave for the page's sake cannot: the page is fetched after all.
    void on_ship_failed(VcpuId vcpu, Instant now);

    // The vCPU's state is about to be sent to `to`.
    void on_departing(VcpuId vcpu, NodeId to, Instant now);
    void on_arrived(VcpuId vcpu, NodeId from, Duration blackout, Instant now);
    void on_message(NodeId from, const PolicyMessage& message);

    void on_timer(Instant now);
    Instant next_deadline() const { return tick_due_; }

    locality::Explanation explain(VcpuId vcpu) const { return policy_->explain(vcpu); }
    const PilotCounters& counters() const { return counters_; }

    // --- BrokerObserver
    void on_obtained(coherence::Claimant claimant, PageNumber page, Instant now) override;
    void on_wanted(PageNumber page, Access access, NodeId by, Instant now) override;
    void on_touched(PageNumber page, Instant now) override;

  private:
    struct Awaited {  // a page that a vCPU waits for
        PageNumber page;
        NodeId from;
        Instant since;
    };
    struct Here {  // what is known of a vCPU on this node
        std::optional<Awaited> awaited;
        Duration idle_before{};  // at `looked_at`
        Instant looked_at;
        std::vector<std::byte> luggage;  // came for it, to be used when it is installed
    };
    // Stands for `pages` that were fetched ahead together.
    struct Probe {
        VcpuId vcpu;
        std::vector<PageNumber> pages;  // the first one is mapped on touch
        Instant since;
    };

    bool ship(VcpuId vcpu, NodeId to, Instant now);
    void prefetch_group(std::span<const PageNumber> group, Access access, Instant now);
    void conclude(std::size_t probe, locality::PrefetchFate fate, Instant now);
    void expire_probes(Instant now);
    float busy_share(VcpuId vcpu, Instant now);
    void report_load(float runnable, Instant now);
    void tell_loads(Instant now);
    void move_load(VcpuId vcpu, NodeId from, NodeId to, Instant now);
    void place(VcpuId vcpu, float busy, Instant now);

    PilotOptions options_;
    PilotHooks hooks_;
    locality::Policy* policy_;
    Broker& broker_;
    VcpuDirectory& directory_;
    std::vector<Here> here_;                // by vCPU
    std::vector<float> busy_;               // by vCPU, of the last tick
    std::vector<LoadReport> loads_;         // by node
    std::vector<locality::NodeLoad> told_;  // the same, as policies want it
    std::vector<Probe> probes_;
    locality::PageList ahead_;  // of the decision just made
    VcpuId ahead_for_;
    Instant tick_due_{};
    Instant load_sent_{};
    PilotCounters counters_;
};

}  // namespace vsmp
