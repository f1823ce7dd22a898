// What is done to the guest mapping of a page: UserfaultFd on a real host, something else where the
// broker runs without one.
#pragma once

#include <cstdint>

#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp {

// All of these take pages that are in the page cache, and are idempotent. Those that permit more
// wake whoever waits for the page.
class PageMapper {
  public:
    virtual ~PageMapper() = default;

    virtual Result<void> map_read_only(PageNumber first, std::uint64_t count) = 0;
    virtual Result<void> map_writable(PageNumber first, std::uint64_t count) = 0;
    // From read-only to writable.
    virtual Result<void> allow_write(PageNumber page) = 0;
    // From writable to read-only. Wakes nobody.
    virtual Result<void> forbid_write(PageNumber page) = 0;
    // No access; the page stays in the page cache. Wakes nobody.
    virtual Result<void> unmap(PageNumber first, std::uint64_t count) = 0;
    // Only where writes are watched can the above write-protect. Wakes nobody, changes no mapping.
    virtual Result<void> watch_writes(PageNumber first, std::uint64_t count) = 0;
    // Makes one large page of 512 mapped ones, aligned and not watched for writes. It may fail.
    virtual Result<void> collapse(PageNumber first) = 0;
};

}  // namespace vsmp
