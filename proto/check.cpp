#include "proto/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace vsmp {

void check_failed(std::string_view condition, std::string_view why, const char* file,
                  unsigned line) {
    std::fprintf(stderr, "vsmp: broken invariant at %s:%u: %.*s (%.*s)\n", file, line,
                 static_cast<int>(why.size()), why.data(), static_cast<int>(condition.size()),
                 condition.data());
    std::abort();
}

}  // namespace vsmp
