// What is between the simulated nodes.
//
// masked: no frames, but what the fabric makes of them: every message arrives once, in the order of
// its link; one whose frame the wire lost comes later by a retransmission, and those behind it wait
// for it. This is a model of the fabric, and quick enough for 64 nodes and millions of messages.
//
// fabrics: the product's own links over a wire that loses, doubles, delays and reorders frames
// (test/dpdk_transport/sim_wire.hpp). Slower; so the model above is not taken on trust.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>

#include "dpdk_transport/fabric.hpp"
#include "proto/time.hpp"

namespace vsmp::coherence::sim {

struct Wire {
    Duration latency = std::chrono::microseconds(10);  // one way, at least
    Duration jitter{};                                 // and up to so much more
    double loss = 0;                                   // chances, for a frame
    double doubled = 0, delayed = 0;  // of fabrics only: the model has nothing to do for them
    Duration repair = std::chrono::milliseconds(2);  // masked: until a lost frame was sent again
    Duration per_kilobyte{};                         // masked: how long the sender's port is busy
};

struct Traffic {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;          // with the header of a frame, 74 bytes, for each
    std::uint64_t invalidations = 0;  // messages of this kind
};

class Network {
  public:
    using Deliver = std::function<void(std::size_t to, NodeId from, ByteView payload)>;

    virtual ~Network() = default;
    virtual fabric::Fabric& fabric(std::size_t node) = 0;
    // When advance() has something to do; none: only once somebody sends.
    virtual std::optional<Instant> next(Instant now) = 0;
    // Delivers what is due: one message, or what one poll of one node brings.
    virtual void advance(Instant now, const Deliver& deliver) = 0;
    // Nothing is under way that anybody waits for.
    virtual bool idle() const = 0;
    virtual Traffic traffic() const = 0;
};

std::unique_ptr<Network> masked_network(std::size_t nodes, const Wire& wire, std::uint64_t seed);
std::unique_ptr<Network> fabric_network(std::size_t nodes, const Wire& wire, std::uint64_t seed);

}  // namespace vsmp::coherence::sim
