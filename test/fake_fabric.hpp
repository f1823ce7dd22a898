// Fabrics of tests that hand messages on themselves.
#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "dpdk_transport/fabric.hpp"

namespace vsmp::test {

// What is the same for all: always up, never congested, nothing to poll.
class SendOnlyFabric : public fabric::Fabric {
  public:
    bool congested() const override { return false; }
    bool poll(Instant, const Deliver&) override { return false; }
    std::optional<Instant> next_deadline() const override { return std::nullopt; }
    int wakeup_fd() const override { return -1; }
    bool arm_wakeup() override { return true; }
    void disarm_wakeup() override {}
    fabric::PeerState peer_state(NodeId) const override { return fabric::PeerState::up; }
    fabric::PeerCounters counters(NodeId) const override { return {}; }
};

struct Packet {
    NodeId from, to;
    std::vector<std::byte> bytes;
};

// Puts all messages of all nodes into one queue, which outlives it.
class QueueFabric final : public SendOnlyFabric {
  public:
    QueueFabric(NodeId self, std::deque<Packet>& wire) : self_(self), wire_(wire) {}
    void send(NodeId to, fabric::Channel, ByteView head, ByteView body) override {
        Packet packet{self_, to, {head.begin(), head.end()}};
        packet.bytes.insert(packet.bytes.end(), body.begin(), body.end());
        wire_.push_back(std::move(packet));
    }

  private:
    NodeId self_;
    std::deque<Packet>& wire_;
};

}  // namespace vsmp::test
