// When the vCPUs, which all start on node 0, are sent to their own nodes. Once a vCPU was seen
// there it is left alone. Pure: told of console output and of each round of statistics.
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
    // `stats`: one per node, index = node id. The ships to ask for now; one that is refused, or
    // still on its way, is asked for again in the next round.
    std::vector<ShipOrder> on_stats(const std::vector<NodeStats>& stats);
    // Every vCPU has been where it belongs: no need for further rounds.
    bool done() const;
    // A round of statistics could change something.
    bool wants_stats() const { return !done() && (up_ || marker_.empty()); }

  private:
    bool at_rest(const std::vector<NodeStats>& stats) const;

    std::vector<NodeId> target_;  // by vCPU
    std::vector<bool> settled_;   // by vCPU: was seen on its target
    std::string marker_;
    std::string tail_;  // end of the console output so far, shorter than the marker
    int idle_rounds_ = 0;
    bool up_ = false;
};

}  // namespace vsmp::control
