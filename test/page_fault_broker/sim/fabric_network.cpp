#include <algorithm>
#include <vector>

#include "dpdk_transport/make_fabric.hpp"
#include "network.hpp"
#include "test/dpdk_transport/sim_wire.hpp"

namespace vsmp::coherence::sim {
namespace {

class FabricNetwork final : public Network {
  public:
    FabricNetwork(std::size_t nodes, const Wire& wire, std::uint64_t seed)
        : random_(seed), wire_({.nodes = nodes}, random_()) {
        wire_.set_weather({.loss = wire.loss,
                           .doubled = wire.doubled,
                           .delayed = wire.delayed,
                           .latency = wire.latency,
                           .jitter = wire.jitter,
                           .long_delay = 10 * (wire.latency + wire.jitter)});
        for (std::size_t node = 0; node < nodes; ++node) {
            std::vector<std::unique_ptr<fabric::Port>> ports;
            ports.push_back(wire_.port(node, 0));
            fabric::FabricOptions options;
            options.self = NodeId{static_cast<std::uint8_t>(node)};
            options.node_count = nodes;
            options.guest = 4711;
            options.incarnation = static_cast<std::uint32_t>(random_() | 1);
            fabrics_.push_back(*make_fabric(options, std::move(ports)));
        }
    }

    fabric::Fabric& fabric(std::size_t node) override { return *fabrics_[node]; }

    std::optional<Instant> next(Instant now) override {
        std::optional<Instant> next = wire_.next_arrival();
        for (std::size_t node = 0; node < fabrics_.size(); ++node)
            if (const auto due = due_at(node)) next = next ? std::min(*next, *due) : *due;
        if (next) next = std::max(*next, now);
        return next;
    }

    void advance(Instant now, const Deliver& deliver) override {
        wire_.advance(now);
        for (std::size_t node = 0; node < fabrics_.size(); ++node) {
            const auto due = due_at(node);
            if (!due || *due > now) continue;
            fabrics_[node]->poll(now, [&](NodeId from, fabric::Channel, ByteView payload) {
                deliver(node, from, payload);
            });
        }
    }

    bool idle() const override {
        std::uint64_t sent = 0, received = 0;
        each_link([&](const fabric::PeerCounters& c) {
            sent += c.messages_sent;
            received += c.messages_received;
        });
        return sent == received;
    }

    Traffic traffic() const override {
        Traffic sum;
        each_link([&](const fabric::PeerCounters& c) {
            sum.messages += c.messages_sent;
            sum.bytes += c.bytes_sent;
        });
        return sum;
    }

  private:
    template <class Visit>
    void each_link(Visit visit) const {
        for (std::size_t node = 0; node < fabrics_.size(); ++node)
            for (std::size_t peer = 0; peer < fabrics_.size(); ++peer)
                if (peer != node)
                    visit(fabrics_[node]->counters(NodeId{static_cast<std::uint8_t>(peer)}));
    }
    std::optional<Instant> due_at(std::size_t node) const {
        if (wire_.anything_waits(node)) return wire_.now();
        return fabrics_[node]->next_deadline();
    }

    std::mt19937_64 random_;
    fabric::SimWire wire_;
    std::vector<std::unique_ptr<fabric::Fabric>> fabrics_;
};

}  // namespace

std::unique_ptr<Network> fabric_network(std::size_t nodes, const Wire& wire, std::uint64_t seed) {
    return std::make_unique<FabricNetwork>(nodes, wire, seed);
}

}  // namespace vsmp::coherence::sim
