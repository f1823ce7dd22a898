// A userfault without KVM: a thread touches pages that are in the page cache, another maps each as
// soon as it hears of it.
#pragma once

#include <vector>

#include "proto/result.hpp"

namespace vsmp::bench {

// Microseconds from touch to going on. The answering thread waits as a data plane does: it polls
// for 20 us, then sleeps.
Result<std::vector<double>> plain_faults(unsigned touches, unsigned interval_us);

}  // namespace vsmp::bench
