#include "vmm/node/command_queue.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <thread>

namespace vsmp {
namespace {

bool is_readable(int fd, int timeout_ms) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, timeout_ms) == 1;
}

TEST(CommandQueue, GivesWhatWasPushedInOrder) {
    CommandQueue<int> queue;
    std::vector<int> taken{7};
    queue.take(taken);
    EXPECT_TRUE(taken.empty());
    EXPECT_FALSE(is_readable(queue.wakeup_fd(), 0));
    queue.push(1);
    queue.push(2);
    EXPECT_TRUE(is_readable(queue.wakeup_fd(), 0));
    queue.take(taken);
    EXPECT_EQ(taken, (std::vector{1, 2}));
    EXPECT_FALSE(is_readable(queue.wakeup_fd(), 0));
}

// Two threads push, one sleeps for them as the data plane does.
TEST(CommandQueue, WakesForEachCommand) {
    constexpr int kEach = 20'000;
    CommandQueue<int> queue;
    std::array<int, 2> next{};
    std::array<std::jthread, 2> pushers;
    for (int p = 0; p < 2; ++p)
        pushers[static_cast<std::size_t>(p)] = std::jthread([&queue, p] {
            for (int i = 0; i < kEach; ++i) queue.push(2 * i + p);
        });
    std::vector<int> taken;
    while (next[0] + next[1] < 2 * kEach) {
        ASSERT_TRUE(is_readable(queue.wakeup_fd(), 20'000)) << "a command without a wake-up";
        queue.take(taken);
        ASSERT_FALSE(taken.empty()) << "a wake-up without a command";
        for (const int value : taken)
            ASSERT_EQ(value / 2, next[static_cast<std::size_t>(value % 2)]++) << "order";
    }
}

// A descriptor that stays readable with nothing behind it would keep the data plane from sleeping.
// The data plane takes commands without having slept, too, so a push may find it anywhere.
TEST(CommandQueue, IsQuietWhenEverythingIsTaken) {
    constexpr int kRounds = 200;
    CommandQueue<int> queue;
    std::atomic<int> pushed = 0, checked = 0;
    std::jthread pusher([&] {
        for (int round = 1; round <= kRounds; ++round) {
            queue.push(round);
            pushed = round;
            checked.wait(round - 1);
        }
    });
    int noisy = 0;
    std::vector<int> taken;
    for (int round = 1; round <= kRounds; ++round) {
        do queue.take(taken);
        while (taken.empty());
        while (pushed != round) std::this_thread::yield();  // push() is over
        if (is_readable(queue.wakeup_fd(), 0)) ++noisy;
        checked = round;
        checked.notify_one();
    }
    EXPECT_EQ(noisy, 0);
}

}  // namespace
}  // namespace vsmp
