// When the vCPUs, which all start on node 0, are sent to their own nodes. Pure: told of console
// output and of each round of statistics.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vmm/node/node.hpp"

namespace vsmp::control {

struct ShipOrder {
    VcpuId vcpu;
    NodeId from, to;
    friend bool operator==(const ShipOrder&, const ShipOrder&) = default;
};

class SpreadPlan {
  public:
    // The guest counts as up when `marker` was seen on its console or, if that is empty, when all
    // its vCPUs are started and were found halted in kIdleRounds rounds running: it waits for
    // input. A guest that never rests (it computes from the start) needs a marker.
    static constexpr int kIdleRounds = 4;
    SpreadPlan(const GuestConfig& guest, std::string marker);

    // True: the guest is up from now on.
    bool on_console(std::string_view bytes);
    // `stats`: one per node, index = node id. The ships to ask for now.
    std::vector<ShipOrder> on_stats(const std::vector<NodeStats>& stats);
    // Nothing is left to do: no need for further rounds.
    bool done() const { return done_; }
    // A round of statistics could change something.
    bool wants_stats() const { return !done_ && (up_ || marker_.empty()); }

  private:
    bool at_rest(const std::vector<NodeStats>& stats) const;

    std::vector<NodeId> target_;  // by vCPU
    std::string marker_;
    std::string tail_;  // end of the console output so far, shorter than the marker
    int idle_rounds_ = 0;
    bool up_ = false;
    bool done_ = false;
};

}  // namespace vsmp::control
