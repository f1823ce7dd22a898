// Which pages a recorded run fought over.
#pragma once

#include <vector>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp::locality {

struct HotPage {
    PageNumber page;
    std::uint64_t faults = 0;  // that another node had to answer
    std::uint64_t writes = 0;  // of those
};

// Of the faults that a trace (trace.hpp) has between two moments, in seconds of its host's clock;
// most faults first.
Result<std::vector<HotPage>> hot_pages(ByteView trace, double from, double to);

}  // namespace vsmp::locality
