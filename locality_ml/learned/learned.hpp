// The learned policy. What it weighs, per remote fault: to stay and fetch, or to go to the node of
// the page, or to where most of the vCPU's recent waiting was for. For each it guesses what share
// of its time the vCPU will wait there, from what it saw of earlier ships in such situations, and
// what it would gain (weighing.hpp).
//
// Four things bound the harm of a wrong guess:
//   evidence   the vCPU has first to lose as much to the node as a ship would cost (the ski-rental
//              rule: at most twice the optimum), less where such ships were good before
//   credit     one ship per kCreditEvery, with a burst; a ship that won what it cost is free
//   fights     of two nodes that want the same pages, the higher moves, the lower waits
//   trials     a ship against the estimate, to learn, needs kTrialShips times as much lost as it
//              costs; after one that did not help any does, and four times as much again after
//              each; if it is no better there, the vCPU goes back to the pages that it has here
//              already
#pragma once

#include "locality_ml/learned/vcpu_record.hpp"
#include "locality_ml/learned/weighing.hpp"

namespace vsmp::locality {

inline constexpr float kMaxCredit = 8;         // ships
inline constexpr float kColdRefaults = 0.25F;  // of its faults; with fewer, its pages are new to it
inline constexpr int kMaxFailures = 7;         // that make a trial dearer
inline constexpr int kMaxSpreadDoublings = 6;
inline constexpr float kMostLostUs = 100e6F;

class Learned final : public Policy {
  public:
    explicit Learned(const PolicySetup& setup) : setup_(setup), weighing_(setup_, costs_, loads_) {
        VSMP_CHECK(setup.node_count <= kMaxNodes && setup.vcpu_count <= kMaxVcpus, "too many");
        vcpus_.reserve(setup.vcpu_count);
        for (std::size_t i = 0; i < setup.vcpu_count; ++i) {
            vcpus_.emplace_back(setup.node_count);
            start_memory(vcpus_.back().memory);
        }
        // Unknown loads: each node alone on a host with CPUs for all.
        for (std::size_t i = 0; i < kMaxNodes; ++i)
            loads_[i] = {.host = static_cast<std::uint8_t>(i),
                         .cpus = static_cast<float>(kMaxVcpus),
                         .runnable = 0,
                         .reach = Reach::reachable};
    }

    Decision decide(const RemoteFault& fault) override;
    void observe(const Observation& observation) override {
        std::visit([this](const auto& what) { on(what); }, observation);
    }
    void on_loads(std::span<const NodeLoad> loads, Instant) override;
    Placement place(const Activity& activity) override;
    void pack(VcpuId vcpu, ByteWriter& to) const override;
    Explanation explain(VcpuId vcpu) const override;

  private:
    void on(const Fetched& fetched);
    void on(const Prefetched& prefetched);
    void on(const Lost&) {}
    void on(const Departed& departed);
    void on(const Arrived& arrived);
    void on(const ShipFailed& failed);

    static void start_memory(VcpuMemory& memory);
    static void wait(VcpuRecord& v, NodeId node, float us);
    static void run(VcpuRecord& v, float us);
    void account(VcpuRecord& v, Instant now);
    void note_fault(VcpuRecord& v, const RemoteFault& fault);
    void notice_phase(VcpuRecord& v);
    void judge(VcpuRecord& v, Instant now);
    void judge_ship(VcpuRecord& v, Instant now);
    std::string_view obstacle(const VcpuRecord& v, const RemoteFault& fault,
                              const Weighed& w) const;
    bool tries(VcpuRecord& v, const Weighed& w) const;
    float trial_price(const VcpuRecord& v, NodeId to) const;
    NodeId most_awaited(const VcpuRecord& v, NodeId otherwise) const;
    bool is_reachable(NodeId node) const { return loads_[node.value()].reach == Reach::reachable; }
    Ship go_back(VcpuRecord& v, const RemoteFault& fault, const Weighed& w);
    Ship ship(VcpuRecord& v, const Weighed& w, ShipReason reason, Aim aim, Instant now);
    Duration moving_in(NodeId from) const {
        return Duration{static_cast<std::int64_t>(costs_.moving_in_us(from) * 1e3F)};
    }
    Duration proof_of_spread(NodeId to) const;
    bool is_overloaded(NodeId to, Instant now) const;
    bool may_be_sent_away(const VcpuRecord& v, Instant now) const;
    bool another_suits_better(const VcpuRecord& v, Instant now) const;
    bool is_at_work_here(const VcpuRecord& v, Instant now) const;
    float contested(const VcpuRecord& v, Instant now) const;
    void note_gathering(Instant now);
    void close_stay(VcpuRecord& v, ShipReason reason, Instant now);
    void expect_stay(VcpuRecord& v, const Weighed& w, Instant now);
    void tell(VcpuRecord& v, const RemoteFault& fault, const Weighed& w, std::string_view why);

    VcpuRecord& record(VcpuId vcpu) {
        VSMP_CHECK(vcpu.value() < vcpus_.size(), "no such vCPU");
        return vcpus_[vcpu.value()];
    }
    const VcpuRecord& record(VcpuId vcpu) const { return const_cast<Learned*>(this)->record(vcpu); }

    PolicySetup setup_;
    FabricCosts costs_;
    Companions companions_;
    std::vector<VcpuRecord> vcpus_;
    NodeLoads loads_{};
    Weighing weighing_;
    std::optional<Instant> overloaded_since_;
    Instant may_spread_{};
    std::optional<Instant> spread_at_;  // from here or to here, the last one; none: it has failed
    Duration spread_proof_{};           // after which it has not
    int spreads_failed_ = 0;
};

}  // namespace vsmp::locality
