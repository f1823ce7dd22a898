#include "vmm/cpu/interrupt_mailbox.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace vsmp::cpu {
namespace {

constexpr Interrupt kInterrupt{InterruptKind::fixed, 0x40};

std::vector<Interrupt> list(const InterruptStash& stash) {
    std::vector<Interrupt> interrupts;
    stash.for_each([&](const Interrupt& i) { interrupts.push_back(i); });
    return interrupts;
}

TEST(InterruptMailbox, ClosedUntilAVcpuStarts) {
    InterruptMailbox box;
    EXPECT_EQ(box.post(kInterrupt), Posted::closed);
    EXPECT_EQ(box.request_departure(NodeId(1)), Posted::closed);
    EXPECT_TRUE(box.take().empty()) << "nothing is kept";
    box.start(WaitForSipiStart{});
    EXPECT_EQ(box.post(kInterrupt), Posted::accepted);
    const auto contents = box.take();
    EXPECT_TRUE(contents.start);
    EXPECT_EQ(list(contents.interrupts), std::vector{kInterrupt});
    EXPECT_TRUE(box.take().empty());
}

TEST(InterruptMailbox, CloseHandsOutWhatWasAcceptedAndKeepsTheOrderToStop) {
    InterruptMailbox box;
    box.start(WaitForSipiStart{});
    box.take();
    ASSERT_EQ(box.post(kInterrupt), Posted::accepted);
    ASSERT_EQ(box.request_departure(NodeId(1)), Posted::accepted);
    box.request_stop();
    EXPECT_EQ(list(box.close()), std::vector{kInterrupt});
    EXPECT_EQ(box.post(kInterrupt), Posted::closed);
    const auto rest = box.take();
    EXPECT_TRUE(rest.stop);
    EXPECT_FALSE(rest.depart);
    EXPECT_TRUE(rest.interrupts.empty());
}

TEST(InterruptMailbox, KicksOncePerEntryAndOnlyInTheGuest) {
    InterruptMailbox box;
    int kicks = 0;
    box.set_kick([&] { ++kicks; });
    box.start(WaitForSipiStart{});
    EXPECT_EQ(box.enter_guest(), InterruptMailbox::Entry::look_again);
    box.take();
    EXPECT_EQ(kicks, 0);
    EXPECT_EQ(box.enter_guest(), InterruptMailbox::Entry::proceed);
    EXPECT_EQ(box.post(kInterrupt), Posted::accepted);
    EXPECT_EQ(box.post({InterruptKind::nmi}), Posted::accepted);
    EXPECT_EQ(kicks, 1);
    box.leave_guest();
    EXPECT_EQ(box.post(kInterrupt), Posted::accepted);
    EXPECT_EQ(kicks, 1);
    EXPECT_EQ(box.enter_guest(), InterruptMailbox::Entry::look_again);
    EXPECT_EQ(list(box.take().interrupts).size(), 2u);
}

TEST(InterruptMailbox, WaitEndsAtItsDeadline) {
    InterruptMailbox box;
    EXPECT_TRUE(box.wait(Instant{}).empty());
}

TEST(InterruptMailbox, StartingWhereItIsAborts) {
    InterruptMailbox box;
    box.start(WaitForSipiStart{});
    EXPECT_DEATH(box.start(WaitForSipiStart{}), "already is");
}

// Posters race with a runner that opens and closes all the time. Every accepted post of a vector
// that was not pending comes out exactly once.
TEST(InterruptMailbox, NothingLostNorDoubledUnderRaces) {
    InterruptMailbox box;
    constexpr int kPosters = 3, kPosts = 5000;
    std::atomic<int> taken[kPosters]{};
    std::atomic<int> closed{0};
    std::vector<std::thread> posters;
    for (int p = 0; p < kPosters; ++p) {
        posters.emplace_back([&, p] {
            const Interrupt mine{InterruptKind::fixed, static_cast<std::uint8_t>(0x40 + p)};
            for (int i = 0; i < kPosts; ++i) {
                while (box.post(mine) == Posted::closed) {
                    ++closed;
                    std::this_thread::yield();
                }
                while (taken[p].load() == i) std::this_thread::yield();
                ASSERT_EQ(taken[p].load(), i + 1);
            }
        });
    }
    std::thread runner([&] {
        const auto count = [&](const InterruptStash& stash) {
            for (const Interrupt& i : list(stash)) ++taken[i.vector - 0x40];
        };
        for (int round = 0;; ++round) {
            box.start(ResumeStart{});
            for (int i = 0; i < 3; ++i) {
                const auto contents = box.wait(std::nullopt);
                count(contents.interrupts);
                if (contents.stop) return;
            }
            count(box.close());
        }
    });
    for (std::thread& poster : posters) poster.join();
    box.request_stop();
    runner.join();
    for (const auto& count : taken) EXPECT_EQ(count.load(), kPosts);
}

}  // namespace
}  // namespace vsmp::cpu
