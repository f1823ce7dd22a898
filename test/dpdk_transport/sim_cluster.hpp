// Whole fabrics on simulated segments: what each node sends to each other, and the check that it
// arrives once, in order within its stream, and not before what it may depend on.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dpdk_transport/core/stream.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "test/dpdk_transport/sim_wire.hpp"

namespace vsmp::fabric {

struct SimLoad {
    std::uint64_t messages = 1000;  // per ordered pair of nodes
    double pages = 0.2;             // of them have a page in them
    double largest = 0.01;          // and these are as large as can be
};

class SimCluster {
  public:
    SimCluster(const SimWire::Options& wire, const LinkTiming& timing, const SimLoad& load,
               std::uint64_t seed);

    SimWire& wire() { return wire_; }
    Instant now() const { return wire_.now(); }
    Fabric& fabric(std::size_t node) { return *nodes_[node].fabric; }

    // Until `done`, or `limit` of virtual time is over; false then, or when nothing is left to do.
    template <class Done>
    bool run(Duration limit, Done done) {
        const Instant end = now() + limit;
        while (!done()) {
            if (!problem_.empty() || now() >= end || !step(end)) return done();
        }
        return true;
    }
    // A node does nothing until then.
    void stall(std::size_t node, Instant until) { nodes_[node].awake_at = until; }
    // It polls so seldom from now on.
    void slow_down(std::size_t node, Duration between) { nodes_[node].nap = between; }
    // Its process dies and is started again.
    void restart(std::size_t node);

    bool all_delivered() const;
    std::uint64_t delivered() const { return delivered_; }
    std::uint64_t lives() const { return lives_; }
    Duration longest_silence() const { return longest_silence_; }
    void forget_silence() { longest_silence_ = {}, last_delivery_ = now(); }
    PeerCounters counters() const;
    // How far each pair of nodes is: for the person who reads a failure.
    std::string describe() const;
    // What went wrong, with the message's number; empty when all is well.
    const std::string& problem() const { return problem_; }

  private:
    // One direction of a pair. A life is the time between two reconnections of the sender.
    struct Sending {
        std::uint32_t life = 1;
        std::uint64_t sent = 0;
        std::array<std::uint32_t, kStreams> by_stream{};
    };
    struct Receiving {
        std::uint32_t life = 0;
        std::uint64_t received = 0;
        std::array<std::uint32_t, kStreams> by_stream{};
    };
    struct Node {
        std::unique_ptr<Fabric> fabric;
        std::uint32_t incarnation = 0;
        Instant awake_at{};
        Duration nap{};
    };

    void start(std::size_t node);
    std::optional<Instant> next_poll(std::size_t node) const;
    bool step(Instant end);
    void poll(std::size_t node);
    void feed(std::size_t node);
    void send_one(std::size_t node, std::size_t to, Sending& sending);
    void reconnect_lost(std::size_t node);
    void check(std::size_t from, std::size_t at, Channel channel, ByteView payload);
    void complain(std::string what);
    Sending& sending(std::size_t from, std::size_t to) { return sending_[from * count_ + to]; }
    Receiving& receiving(std::size_t from, std::size_t to) {
        return receiving_[from * count_ + to];
    }

    SimWire::Options wire_options_;
    LinkTiming timing_;
    SimLoad load_;
    std::size_t count_;
    std::mt19937_64 random_;
    SimWire wire_;
    std::vector<Node> nodes_;
    std::vector<Sending> sending_;
    std::vector<Receiving> receiving_;
    std::vector<std::byte> body_;
    std::uint64_t delivered_ = 0, lives_ = 0;
    Instant last_delivery_{};
    Duration longest_silence_{};
    PeerCounters before_;
    std::string problem_;
};

}  // namespace vsmp::fabric
