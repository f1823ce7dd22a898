// How many data frames each peer may have on its way to this node, so that all together fit its
// receive rings. Half of the room is the peers' in equal parts, whatever happens; the other half
// goes to those that send. What was granted is never taken back, it is used up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "proto/check.hpp"

namespace vsmp::fabric {

class CreditPool {
  public:
    // `ids`: one more than the largest peer's index. `peers`: how many there are.
    CreditPool(std::size_t capacity, std::size_t ids, std::size_t peers, std::size_t window)
        : share_(peers == 1 ? std::min(capacity, window)
                            : std::clamp<std::size_t>(capacity / 2 / peers, 2, window)),
          window_(window),
          free_(capacity > peers * share_ ? capacity - peers * share_ : 0),
          reserved_(ids, share_) {
        VSMP_CHECK(peers > 0, "no peers");
    }

    std::size_t share() const { return share_; }

    // What a peer may have granted in all, of which `outstanding` is not used up yet.
    std::size_t grant(std::size_t peer, std::size_t outstanding) {
        std::size_t& reserved = reserved_[peer];
        free_ += reserved;
        reserved = std::max(outstanding, share_);
        VSMP_CHECK(reserved <= free_, "more outstanding than was granted");
        free_ -= reserved;
        const std::size_t more = std::min((free_ + 1) / 2, window_ - std::min(window_, reserved));
        reserved += more;
        free_ -= more;
        return reserved;
    }
    // The peer is gone, and with it what it was granted.
    void release(std::size_t peer) {
        free_ += reserved_[peer] - share_;
        reserved_[peer] = share_;
    }
    std::size_t unreserved() const { return free_; }

  private:
    std::size_t share_;
    std::size_t window_;
    std::size_t free_;
    std::vector<std::size_t> reserved_;
};

}  // namespace vsmp::fabric
