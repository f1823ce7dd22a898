// How many allocations the test binary has made so far.
#pragma once

#include <cstddef>

namespace vsmp::test {

std::size_t allocations();

}  // namespace vsmp::test
