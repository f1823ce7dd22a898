// Pages by runs of neighbours: what is done to many costs less when done to a run at once.
#pragma once

#include <algorithm>
#include <vector>

#include "proto/ids.hpp"

namespace vsmp::coherence {

// Calls `what(first, count)` for each run of neighbours among `pages`, which are all different and
// gone afterwards.
template <class What>
void for_each_run(std::vector<PageNumber>& pages, What what) {
    if (!std::ranges::is_sorted(pages)) std::ranges::sort(pages);
    for (std::size_t i = 0, next = 0; i < pages.size(); i = next) {
        next = i + 1;
        while (next < pages.size() && pages[next].value() == pages[next - 1].value() + 1) ++next;
        what(pages[i], next - i);
    }
    pages.clear();
}

}  // namespace vsmp::coherence
