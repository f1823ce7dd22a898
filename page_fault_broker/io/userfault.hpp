// userfaultfd over the guest mapping: which page is touched and may not be, and the three things
// that can be done about it. Needs Linux 6.4 (UFFDIO_CONTINUE_MODE_WP). One thread only, except
// that the file descriptor may be polled elsewhere.
#pragma once

#include <sys/types.h>

#include <array>
#include <optional>
#include <span>

#include "page_fault_broker/core/large_ranges.hpp"
#include "page_fault_broker/io/page_mapper.hpp"
#include "proto/fd.hpp"
#include "proto/ids.hpp"

namespace vsmp {

struct Userfault {
    PageNumber page;
    Access access{};
    pid_t thread = 0;  // who waits, as gettid(2) tells it
};

class UserfaultFd final : public PageMapper {
  public:
    // Watches `guest` (the guest mapping: base of page 0) for missing, minor and write-protect
    // faults. On an older kernel the error says which version is needed. In `unshared` writes are
    // not watched before watch_writes().
    static Result<UserfaultFd> watch(std::span<std::byte> guest,
                                     coherence::LargeArea unshared = {});

    int fd() const { return fd_.get(); }

    // Faults that were raised since the last call, at most `out.size()`; never blocks.
    Result<std::size_t> read(std::span<Userfault> out);

    Result<void> map_read_only(PageNumber first, std::uint64_t count = 1) override;
    Result<void> map_writable(PageNumber first, std::uint64_t count = 1) override;
    Result<void> allow_write(PageNumber page) override;
    Result<void> forbid_write(PageNumber page) override;
    Result<void> unmap(PageNumber first, std::uint64_t count = 1) override;
    Result<void> watch_writes(PageNumber first, std::uint64_t count) override;
    Result<void> collapse(PageNumber first) override;
    // Lets whoever waits for the page try again.
    Result<void> wake(PageNumber page);

  private:
    UserfaultFd(UniqueFd fd, std::span<std::byte> guest) : fd_(std::move(fd)), guest_(guest) {}
    Result<void> watch(PageNumber first, std::uint64_t count, std::uint64_t mode);
    Result<void> resume(PageNumber first, std::uint64_t count, std::uint64_t mode);
    Result<void> protect(PageNumber page, std::uint64_t mode);
    std::uint64_t address(PageNumber page) const;

    UniqueFd fd_;
    std::span<std::byte> guest_;
};

}  // namespace vsmp
