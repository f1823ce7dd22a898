// Invariants of our own. They hold in release builds too: a node that has lost track of who owns
// a page must stop before it corrupts the guest. Outside input never goes through here; it gets
// an Error (result.hpp).
#pragma once

#include <string_view>

namespace vsmp {

// Not std::source_location: clang 14, which builds the fuzz targets, has none.
[[noreturn]] void check_failed(std::string_view condition, std::string_view why, const char* file,
                               unsigned line);

}  // namespace vsmp

#define VSMP_CHECK(condition, why)                                     \
    do {                                                               \
        if (!(condition)) [[unlikely]]                                 \
            ::vsmp::check_failed(#condition, why, __FILE__, __LINE__); \
    } while (false)
