// What bench_stream found, for people and for machines.
#pragma once

#include "test/bench/stream/stream_run.hpp"

namespace vsmp::bench {

// One of each kind of port.
using StreamReports = std::vector<StreamReport>;
std::string to_table(const StreamReports& reports);
std::string to_json(const StreamReports& reports);

}  // namespace vsmp::bench
