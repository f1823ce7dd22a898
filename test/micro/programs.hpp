// The micro-guests as bytes inside the test program, so that it can be copied to another machine
// and run there.
#pragma once

#include <string_view>

#include "proto/bytes.hpp"

namespace vsmp::test {

// `name` as in test/micro/CMakeLists.txt; empty for an unknown one.
ByteView micro_program(std::string_view name);

}  // namespace vsmp::test
