// The nodes of a guest as vsmp-run calls them: requests go out, answers are matched to them.
// Used on the io_context's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "vmm/control/node_peer.hpp"
#include "vmm/control/stats_rounds.hpp"

namespace vsmp::control {

class Fleet {
  public:
    // `error` is empty when the node has done it.
    using Done = std::function<void(const std::string& error)>;
    using Peers = std::vector<std::unique_ptr<NodePeer>>;  // index = node id

    explicit Fleet(std::size_t nodes) : rounds_(nodes) {}

    Peers& peers() { return peers_; }
    const Peers& peers() const { return peers_; }

    // Statistics of all nodes; never told when one of them does not answer.
    void collect_stats(StatsRounds::Done done);
    void ship(VcpuId vcpu, NodeId from, NodeId to, Done done);
    // On every node; the first complaint is the answer.
    void set_policy(const std::string& name, Done done);

    // What the peers' observer hears of answers.
    void on_stats(NodeId node, std::uint64_t request, NodeStats stats);
    void on_reply(std::uint64_t request, const std::string& error);

  private:
    std::uint64_t expect(Done done);

    Peers peers_;
    StatsRounds rounds_;
    std::unordered_map<std::uint64_t, Done> expected_;
    std::uint64_t last_request_ = 0;
};

}  // namespace vsmp::control
