// Where each page is homed: consecutive ranges of page numbers, one per node.
#pragma once

#include <vector>

#include "proto/ids.hpp"

namespace vsmp {

class HomeMap {
  public:
    // pages[i]: how many pages node i is home of.
    explicit HomeMap(const std::vector<std::uint64_t>& pages);
    NodeId home_of(PageNumber page) const;
    PageNumber first_page_of(NodeId node) const { return PageNumber{starts_[node.value()]}; }
    std::uint64_t page_count_of(NodeId node) const {
        return starts_[node.value() + std::size_t{1}] - starts_[node.value()];
    }
    std::uint64_t page_count() const { return starts_.back(); }
    std::size_t node_count() const { return starts_.size() - 1; }

  private:
    std::vector<std::uint64_t> starts_;  // one more than nodes
};

}  // namespace vsmp
