// A recorded run told line by line: what each vCPU needed, what came of it, and why.
#pragma once

#include <string>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/result.hpp"

namespace vsmp::locality {

// Traces (trace.hpp) of one run's nodes, replayed through the policy that they name, in the order
// of time; a line for each fault, page, ship and placement that moved somebody, its begin the
// milliseconds since the first.
Result<std::string> explain_run(const std::vector<ByteView>& traces);

}  // namespace vsmp::locality
