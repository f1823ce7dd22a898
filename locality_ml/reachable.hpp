// Which nodes can be shipped to.
#pragma once

#include <bitset>
#include <span>

#include "locality_ml/policy.hpp"

namespace vsmp::locality {

class Reachable {
  public:
    bool has(NodeId node) const { return !lost_[node.value()]; }
    void update(std::span<const NodeLoad> loads) {
        for (std::size_t i = 0; i < loads.size(); ++i)
            lost_[i] = loads[i].reach == Reach::unreachable;
    }

  private:
    std::bitset<kMaxNodes> lost_;
};

}  // namespace vsmp::locality
