#include "vmm/node/command_queue.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace vsmp {
namespace {

bool readable(const CommandQueue<int>& queue) {
    pollfd fd{queue.wakeup_fd(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 1;
}

TEST(CommandQueue, TakesEverythingInOrder) {
    CommandQueue<int> queue;
    std::vector<int> taken{9};
    queue.take(taken);
    EXPECT_TRUE(taken.empty());
    for (int i = 0; i < 3; ++i) queue.push(i);
    queue.take(taken);
    EXPECT_EQ(taken, (std::vector{0, 1, 2}));
    queue.take(taken);
    EXPECT_TRUE(taken.empty());
}

TEST(CommandQueue, WakesWhileSomethingIsQueued) {
    CommandQueue<int> queue;
    std::vector<int> taken;
    EXPECT_FALSE(readable(queue));
    queue.push(1);
    queue.push(2);
    EXPECT_TRUE(readable(queue));
    queue.take(taken);
    EXPECT_FALSE(readable(queue));
    queue.push(3);
    EXPECT_TRUE(readable(queue));
}

// A taker that races with pushes may neither miss a command nor be left with a wakeup for nothing.
TEST(CommandQueue, ManyThreads) {
    constexpr int kThreads = 4, kEach = 5000;
    CommandQueue<int> queue;
    std::vector<int> next(kThreads, 0);  // by thread: what it pushes next
    std::vector<int> taken;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < kThreads; ++t)
            threads.emplace_back([&queue, t] {
                for (int i = 0; i < kEach; ++i) queue.push(t * kEach + i);
            });
        for (int count = 0; count < kThreads * kEach;) {
            // As the data plane does: a while without looking at the descriptor, then with.
            for (int spin = 0; spin < 2000 && (spin == 0 || taken.empty()); ++spin)
                queue.take(taken);
            if (taken.empty()) {
                pollfd fd{queue.wakeup_fd(), POLLIN, 0};
                ::poll(&fd, 1, -1);
                queue.take(taken);
                ASSERT_FALSE(taken.empty()) << "woken for nothing after " << count;
            }
            for (const int value : taken)
                EXPECT_EQ(value % kEach, next[static_cast<std::size_t>(value / kEach)]++);
            count += static_cast<int>(taken.size());
        }
    }
    EXPECT_FALSE(readable(queue));
}

TEST(CommandQueueDeathTest, IsBounded) {
    EXPECT_DEATH(
        {
            CommandQueue<int> queue;
            for (std::size_t i = 0; i <= CommandQueue<int>::kCapacity; ++i) queue.push(0);
        },
        "overflowed");
}

}  // namespace
}  // namespace vsmp
