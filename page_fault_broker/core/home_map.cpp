#include "page_fault_broker/core/home_map.hpp"

#include <algorithm>

#include "proto/check.hpp"

namespace vsmp {

HomeMap::HomeMap(const std::vector<std::uint64_t>& pages) : starts_(1, 0) {
    for (std::uint64_t count : pages) starts_.push_back(starts_.back() + count);
}

NodeId HomeMap::home_of(PageNumber page) const {
    const auto after = std::upper_bound(starts_.begin() + 1, starts_.end(), page.value());
    VSMP_CHECK(after != starts_.end(), "page beyond guest RAM");
    return NodeId{static_cast<std::uint8_t>(after - starts_.begin() - 1)};
}

}  // namespace vsmp
