// Calendar time, UTC, as the devices are told it.
#pragma once

#include <chrono>

namespace vsmp {

using WallTime = std::chrono::sys_time<std::chrono::seconds>;

}  // namespace vsmp
