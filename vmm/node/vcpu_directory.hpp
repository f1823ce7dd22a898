// Where each vCPU is, as this node knows it: performs the hand-over protocol (vcpu_shipper/core)
// for all vCPUs of the guest. Owned by the data-plane thread.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "dpdk_transport/fabric.hpp"
#include "proto/time.hpp"
#include "vcpu_shipper/core/handover.hpp"

namespace vsmp {

// What the directory asks of the vCPUs of this node. Called on the data-plane thread; answers come
// back through the directory's on_* functions, later and on that thread too.
class LocalVcpus {
  public:
    virtual ~LocalVcpus() = default;
    // Stop it and read its state, it goes to `to`: answered by on_captured or on_capture_failed.
    virtual void capture(VcpuId vcpu, NodeId to) = 0;
    // Let the captured vCPU go on as it was.
    virtual void resume(VcpuId vcpu) = 0;
    // Load `state` and run: answered by on_installed or on_install_failed.
    virtual void install(VcpuId vcpu, shipper::VcpuState state) = 0;
    virtual void deliver(VcpuId vcpu, const shipper::Interrupt& interrupt) = 0;
};

struct ShipCounters {
    std::uint64_t out = 0, in = 0;
    std::uint64_t refused = 0;          // by this node or by the destination
    std::uint64_t malformed = 0;        // messages that did not decode
    std::uint64_t frame_bytes_max = 0;  // of the Ethernet frame with a vCPU's state
    // Of the last kRemembered ships, oldest first.
    std::vector<std::uint32_t> frame_bytes;  // out
    std::vector<std::uint32_t> blackout_us;  // in: from the stop there to the first run here

    static constexpr std::size_t kRemembered = 1024;
};

class VcpuDirectory {
  public:
    // All vCPUs start on node 0. `fabric` may be null for a guest of one node.
    VcpuDirectory(NodeId self, std::size_t node_count, std::size_t vcpu_count, LocalVcpus& vcpus,
                  fabric::Fabric* fabric, std::function<void(Error)> on_violation);

    // False: the vCPU is not here, or is leaving already.
    bool ship(VcpuId vcpu, NodeId to);
    // An interrupt for `vcpu`, wherever it is.
    void raise(VcpuId vcpu, const shipper::Interrupt& interrupt);
    void on_message(NodeId from, ByteView payload);

    // `state`: encoded, 1..kMaxStateBytes bytes.
    void on_captured(VcpuId vcpu, std::vector<std::byte> state);
    void on_capture_failed(VcpuId vcpu);
    void on_installed(VcpuId vcpu, Duration blackout);
    void on_install_failed(VcpuId vcpu, shipper::NackReason reason);

    // Runs here, or is still here because its state was not read yet.
    bool is_here(VcpuId vcpu) const;
    // Where it goes to or comes from while it moves; where it is believed to be when away.
    NodeId peer(VcpuId vcpu) const { return handovers_[vcpu.value()].peer; }
    const ShipCounters& counters() const { return counters_; }

  private:
    void step(VcpuId vcpu, const shipper::Event& event, ByteView state = {});
    bool perform(VcpuId vcpu, const shipper::Action& action, const shipper::Step& step,
                 ByteView state);
    void send(NodeId to, const shipper::Message& message, ByteView body = {});
    void install(VcpuId vcpu, ByteView state);
    void count_departure(std::size_t state_bytes);

    NodeId self_;
    std::size_t node_count_;
    LocalVcpus& vcpus_;
    fabric::Fabric* fabric_;
    std::function<void(Error)> on_violation_;
    std::vector<shipper::Handover> handovers_;  // by vCPU
    ShipCounters counters_;
};

}  // namespace vsmp
