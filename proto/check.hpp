// Invariants of our own. They hold in release builds too: a node that has lost track of who owns
// a page must stop before it corrupts the guest. Outside input never goes through here; it gets
// an Error (result.hpp).
#pragma once

#include <source_location>
#include <string_view>

namespace vsmp {

[[noreturn]] void check_failed(std::string_view condition, std::string_view why,
                               std::source_location where);

}  // namespace vsmp

#define VSMP_CHECK(condition, why)                                                          \
    do {                                                                                    \
        if (!(condition)) [[unlikely]]                                                      \
            ::vsmp::check_failed(#condition, why, std::source_location::current());         \
    } while (false)
