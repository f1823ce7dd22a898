#include "page_fault_broker/io/guest_memory.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <thread>

#include "page_fault_broker/io/userfault.hpp"
#include "test/skip.hpp"

namespace vsmp {
namespace {

// A node that ends while a vCPU waits for a page. In place of a vCPU it is a system call that reads
// guest RAM, as KVM does.
TEST(GuestMemory, WhoWaitsForAPageAtTheEndGetsNone) {
    GuestMemory memory = *GuestMemory::create(4);
    auto watched = UserfaultFd::watch({memory.guest_base(), 4 * kPageSize});
    if (!watched) VSMP_SKIP() << watched.error().message;
    std::optional<UserfaultFd> userfault{*std::move(watched)};
    ASSERT_TRUE(memory.fill(PageNumber{1}, std::array<std::byte, kPageSize>{}));
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);

    ssize_t result = 0;
    int error = 0;
    std::jthread reader{[&] {
        result = ::write(pipe[1], memory.guest_base(), 8);
        error = errno;
    }};
    pollfd raised{userfault->fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&raised, 1, 10'000), 1);
    std::array<Userfault, 1> fault;
    ASSERT_EQ(*userfault->read(fault), 1u);

    ASSERT_TRUE(memory.retire());
    userfault.reset();
    reader.join();
    EXPECT_EQ(result, -1);
    EXPECT_EQ(error, EFAULT);
    EXPECT_EQ(*memory.resident_pages(), 0u);
    for (const int fd : pipe) ::close(fd);
}

}  // namespace
}  // namespace vsmp
