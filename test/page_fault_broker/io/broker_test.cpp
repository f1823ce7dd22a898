// Brokers of several nodes in one process, on real userfaultfd, without KVM: plain threads touch
// the guest mappings as vCPUs would.
#include "page_fault_broker/io/broker.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <random>
#include <thread>

#include "proto/monotonic_clock.hpp"
#include "test/fake_fabric.hpp"
#include "test/skip.hpp"

namespace vsmp {
namespace {

coherence::LargeArea unshared(NodeId self, const HomeMap& homes, PageSizes sizes) {
    if (sizes == PageSizes::small) return {};
    return coherence::large_area(homes.first_page_of(self), homes.page_count_of(self));
}

struct TestNode {
    TestNode(NodeId self, const HomeMap& homes, std::deque<test::Packet>& wire, std::uint64_t limit,
             PageSizes sizes)
        : memory(*GuestMemory::create(homes.page_count(), sizes)),
          userfault(*UserfaultFd::watch({memory.guest_base(), homes.page_count() * kPageSize},
                                        unshared(self, homes, sizes))),
          fabric(self, wire),
          broker(self, homes,
                 coherence::hold_limits(self, homes.node_count(), std::chrono::microseconds(200),
                                        std::chrono::milliseconds(1)),
                 memory, userfault, limit) {
        broker.attach(&fabric);
        if (sizes == PageSizes::also_large) broker.use_large_pages(1000);
    }

    GuestMemory memory;
    UserfaultFd userfault;
    test::QueueFabric fabric;
    Broker broker;
};

class BrokerTest : public ::testing::Test {
  protected:
    void SetUp() override {
        GuestMemory memory = *GuestMemory::create(1);
        const auto probe = UserfaultFd::watch({memory.guest_base(), kPageSize});
        if (!probe) VSMP_SKIP() << probe.error().message;
    }

    // `limit`: pages that may be resident on each node whose share is less; 0: no limit.
    void start(std::vector<std::uint64_t> pages, std::uint64_t limit = 0,
               PageSizes sizes = PageSizes::small) {
        const HomeMap homes{pages};
        for (std::size_t i = 0; i < pages.size(); ++i)
            nodes_.push_back(std::make_unique<TestNode>(NodeId{static_cast<std::uint8_t>(i)}, homes,
                                                        wire_, pages[i] < limit ? limit : 0,
                                                        sizes));
        plane_ = std::jthread([this](std::stop_token stop) { run(stop); });
    }

    void TearDown() override {
        if (plane_.joinable()) {
            plane_.request_stop();
            plane_.join();
        }
    }

    std::atomic<std::uint64_t>* word(std::size_t node, std::uint64_t page, std::size_t index = 0) {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(nodes_[node]->memory.guest_base() +
                                                             page * kPageSize) +
               index;
    }

    BrokerCounters counters(std::size_t node) {
        TearDown();
        return nodes_[node]->broker.counters();
    }

    coherence::ReadAheadCounters read_ahead(std::size_t node) {
        TearDown();
        return nodes_[node]->broker.read_ahead_counters();
    }

    // While it runs.
    coherence::LargeCounters large(std::size_t node) {
        coherence::LargeCounters counters;
        on_plane([&] { counters = nodes_[node]->broker.large_counters(); });
        return counters;
    }
    // Until `count` large pages were made, or tried in vain; false: it takes too long.
    bool wait_for_large(std::size_t node, std::uint64_t count) {
        const Instant deadline = monotonic_now() + std::chrono::seconds(20);
        while (monotonic_now() < deadline) {
            const coherence::LargeCounters now = large(node);
            if (now.collapsed + now.failed >= count) return true;
        }
        return false;
    }
    // Bytes of the guest mapping that have large pages.
    std::size_t mapped_large(std::size_t node) {
        const auto base = reinterpret_cast<std::uintptr_t>(nodes_[node]->memory.guest_base());
        const std::uintptr_t size = nodes_[node]->memory.page_count() * kPageSize;
        std::ifstream smaps("/proc/self/smaps");
        std::size_t sum = 0;
        bool inside = false;
        for (std::string line; std::getline(smaps, line);) {
            unsigned long begin = 0, end = 0, kib = 0;
            if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2)
                inside = begin >= base && end <= base + size;
            else if (inside && std::sscanf(line.c_str(), "ShmemPmdMapped: %lu kB", &kib) == 1)
                sum += std::size_t{kib} << 10;
        }
        return sum;
    }

    coherence::MemoryCounters memory(std::size_t node) {
        TearDown();
        return nodes_[node]->broker.memory_counters();
    }
    std::uint64_t kernel_pages(std::size_t node) { return *nodes_[node]->memory.resident_pages(); }

    // Asks on behalf of the thread that owns the brokers.
    void prefetch(std::size_t node, std::vector<PageNumber> pages, Access access) {
        on_plane([&] {
            nodes_[node]->broker.prefetch(pages, access, MapAhead::at_once, monotonic_now());
        });
    }

  private:
    void on_plane(const std::function<void()>& what) {
        std::promise<void> done;
        {
            const std::lock_guard guard{mutex_};
            errand_ = [&] {
                what();
                done.set_value();
            };
        }
        done.get_future().wait();
    }

    void run(std::stop_token stop) {
        while (!stop.stop_requested()) {
            std::vector<pollfd> fds;
            for (const auto& node : nodes_) fds.push_back({node->userfault.fd(), POLLIN, 0});
            ::poll(fds.data(), fds.size(), wire_.empty() ? 1 : 0);
            for (const auto& node : nodes_) serve(*node);
            const std::lock_guard guard{mutex_};
            if (errand_) std::exchange(errand_, nullptr)();
        }
    }

    void serve(TestNode& node) {
        const Instant now = monotonic_now();
        std::array<Userfault, 16> faults;
        const auto count = node.userfault.read(faults);
        ASSERT_TRUE(count) << count.error().message;
        for (const Userfault& fault : std::span{faults}.first(*count))
            node.broker.on_fault(
                fault, coherence::Claimant{static_cast<std::uint32_t>(fault.thread)}, now);
        node.broker.on_timer(now);
        while (!wire_.empty()) {
            const test::Packet packet = std::move(wire_.front());
            wire_.pop_front();
            nodes_[packet.to.value()]->broker.on_message(packet.from, packet.bytes, now);
        }
    }

    std::mutex mutex_;
    std::function<void()> errand_;
    std::deque<test::Packet> wire_;
    std::vector<std::unique_ptr<TestNode>> nodes_;
    std::jthread plane_;
};

TEST_F(BrokerTest, AWriteOnOneNodeIsReadOnAnother) {
    start({4, 4});
    for (std::uint64_t page = 0; page < 8; ++page) word(0, page)->store(page + 100);
    for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(word(1, page)->load(), page + 100);
    word(1, 2)->store(7);
    EXPECT_EQ(word(0, 2)->load(), 7u);
    EXPECT_GE(counters(0).invalidations, 1u);
}

TEST_F(BrokerTest, PagesNobodyWroteAreZeroAndTravelAsAFlag) {
    start({4, 4});
    for (std::uint64_t page = 4; page < 8; ++page) EXPECT_EQ(word(0, page)->load(), 0u);
    EXPECT_EQ(counters(0).zero_pages, 4u);
}

TEST_F(BrokerTest, APageThatBecameZeroAgainReadsAsZeroEverywhere) {
    start({1, 1});
    word(1, 0)->store(5);
    EXPECT_EQ(word(0, 0)->load(), 5u);
    word(0, 0)->store(0);
    EXPECT_EQ(word(1, 0)->load(), 0u);
}

TEST_F(BrokerTest, AtomicIncrementsOfOneWordAddUp) {
    start({2, 2, 2});
    constexpr std::uint64_t kRounds = 300;
    {
        std::vector<std::jthread> threads;
        for (std::size_t node = 0; node < 3; ++node)
            threads.emplace_back([&, node] {
                for (std::uint64_t i = 0; i < kRounds; ++i) word(node, 3)->fetch_add(1);
            });
    }
    EXPECT_EQ(word(0, 3)->load(), 3 * kRounds);
}

TEST_F(BrokerTest, PrefetchedPagesAreThereWithoutAFault) {
    start({8, 8});
    for (std::uint64_t page = 0; page < 8; ++page) word(0, page)->store(page + 1);
    std::vector<PageNumber> pages;
    for (std::uint64_t page = 0; page < 8; ++page) pages.push_back(PageNumber{page});
    pages.push_back(PageNumber{8});   // here already
    pages.push_back(PageNumber{99});  // no such page
    prefetch(1, pages, Access::read);
    // The last page was asked for last, and arrives last.
    EXPECT_EQ(word(1, 7)->load(), 8u);
    for (std::uint64_t page = 0; page < 8; ++page) EXPECT_EQ(word(1, page)->load(), page + 1);
    const BrokerCounters seen = counters(1);
    EXPECT_EQ(seen.prefetches, 8u);
    EXPECT_EQ(seen.fetches_read, 8u);
    EXPECT_LE(seen.faults, 1u);
}

// What is here to read is taken to write only right behind a fault: else a write anywhere in what a
// stream has asked for takes pages away from their readers.
TEST_F(BrokerTest, OneWriteDoesNotTakeManyPagesFromTheirReaders) {
    start({64, 1});
    for (std::uint64_t page = 0; page < 64; ++page) word(0, page)->store(page + 1);
    for (std::uint64_t page = 16; page-- > 0;) EXPECT_EQ(word(1, page)->load(), page + 1);
    // Enough for those to be forgotten.
    for (std::uint64_t page = 63; page-- > 32;) EXPECT_EQ(word(1, page)->load(), page + 1);
    for (std::uint64_t page = 3; page < 9; ++page) word(1, page)->store(100);  // 5 to 8 ahead
    for (std::uint64_t page = 3; page < 9; ++page) EXPECT_EQ(word(0, page)->load(), 100u);
    word(1, 6)->store(101);
    EXPECT_EQ(word(1, 63)->load(), 64u);  // behind all that was asked for
    EXPECT_EQ(counters(1).upgrades, 7u);
}

// Faults come from two arrays in turn, and in between from anywhere.
TEST_F(BrokerTest, TwoThreadsThatScanTwoArraysAreBothReadAheadOf) {
    constexpr std::uint64_t kArray = 2048, kAnywhere = 2 * kArray;
    start({3 * kArray, 1});
    for (std::uint64_t page = 0; page < 2 * kArray; ++page) word(0, page)->store(page + 1);
    std::array<std::atomic<std::uint64_t>, 2> turn{};  // pages each has read
    const auto scan = [&](std::uint64_t which) {
        for (std::uint64_t i = 0; i < kArray; ++i) {
            while (turn[1 - which].load() + which < i) std::this_thread::yield();
            const std::uint64_t page = which * kArray + i;
            EXPECT_EQ(word(1, page)->load(), page + 1);
            if (i % 2 == 0) word(1, kAnywhere + (i + which) * 37 % kArray)->load();
            ++turn[which];
        }
    };
    {
        std::jthread other{[&] { scan(1); }};
        scan(0);
    }
    const coherence::ReadAheadCounters ahead = read_ahead(1);
    EXPECT_GT(ahead.asked, 2 * kArray * 8 / 10);
    EXPECT_GT(ahead.used, ahead.asked * 8 / 10);
    EXPECT_LE(ahead.used + ahead.wasted, ahead.asked);
}

constexpr std::uint64_t kRange = coherence::kPagesPerRange;

TEST_F(BrokerTest, PrivateMemoryGetsLargePagesAndLosesThoseThatAreShared) {
    start({4 * kRange, 1}, 0, PageSizes::also_large);
    for (std::uint64_t page = 0; page < 4 * kRange; ++page) word(0, page)->store(page + 1);
    ASSERT_TRUE(wait_for_large(0, 4));
    if (large(0).failed > 0) VSMP_SKIP() << "this kernel makes no large pages of shared memory";
    EXPECT_EQ(mapped_large(0), 4 * kRange * kPageSize);
    EXPECT_EQ(word(1, kRange)->load(), kRange + 1);                    // read by another
    EXPECT_EQ(word(1, 3 * kRange + 7)->fetch_add(1), 3 * kRange + 8);  // and written
    EXPECT_EQ(mapped_large(0), 2 * kRange * kPageSize);
    word(0, kRange)->fetch_add(1);
    EXPECT_EQ(word(1, kRange)->load(), kRange + 2);
    word(1, 3 * kRange + 7)->fetch_sub(1);
    word(0, kRange)->fetch_sub(1);
    for (std::uint64_t page = 0; page < 4 * kRange; ++page)
        EXPECT_EQ(word(0, page)->load(), page + 1);
    EXPECT_EQ(large(0).split_large, 2u);
    EXPECT_EQ(kernel_pages(0), 4 * kRange);
}

// Writers do not stop while their memory becomes large pages and is split again.
TEST_F(BrokerTest, NoWriteIsLostWhileRangesCollapseAndSplit) {
    constexpr std::uint64_t kPages = 4 * kRange, kRounds = 30;
    start({kPages, 1}, 0, PageSizes::also_large);
    std::atomic<std::uint64_t> rounds = 0;
    {
        std::jthread other{[&] {
            std::array<std::uint64_t, kPages> seen{};
            for (std::uint64_t i = 0; rounds < kRounds; ++i) {
                // From the second half of the rounds on everything gets shared, bit by bit.
                if (rounds < kRounds / 2) continue;
                const std::uint64_t page = i * 97 % kPages;
                const std::uint64_t found = word(1, page)->load();
                EXPECT_GE(found, seen[page]);
                seen[page] = found;
                word(1, page, 1)->fetch_add(1);
            }
        }};
        for (; rounds < kRounds; ++rounds)
            for (std::uint64_t page = 0; page < kPages; ++page) word(0, page)->fetch_add(1);
    }
    for (std::uint64_t page = 0; page < kPages; ++page)
        EXPECT_EQ(word(1, page)->load(), kRounds) << page;
    EXPECT_GT(large(0).split, 0u);
}

TEST_F(BrokerTest, LargePagesAreMadeWithinTheLimitOnly) {
    start({2 * kRange, 2 * kRange}, 3 * kRange + 64, PageSizes::also_large);
    for (std::uint64_t page = 0; page < 2 * kRange; ++page) word(0, page)->store(page + 1);
    ASSERT_TRUE(wait_for_large(0, 2));
    // Pages from elsewhere take what is left, and pages of its own go there.
    for (std::uint64_t page = 0; page < 4 * kRange; page += 3) {
        word(0, page)->fetch_add(1000);
        EXPECT_LE(kernel_pages(0), 3 * kRange + 64);
        word(1, page)->fetch_add(1000);
        EXPECT_LE(kernel_pages(1), 3 * kRange + 64);
    }
    for (std::uint64_t page = 0; page < 2 * kRange; ++page)
        EXPECT_EQ(word(0, page)->load(), page + 1 + (page % 3 == 0 ? 2000 : 0));
    EXPECT_LE(memory(0).resident_max, 3 * kRange + 64);
}

TEST_F(BrokerTest, AnOldCopyThatIsStillGoodIsNotSentAgain) {
    start({1, 1});
    word(0, 0)->store(5);
    EXPECT_EQ(word(1, 0)->fetch_add(0), 5u);  // taken to write, not changed
    EXPECT_EQ(word(0, 0)->load(), 5u);
    EXPECT_EQ(counters(0).revalidated, 1u);
}

TEST_F(BrokerTest, AnOldCopyThatIsNotGoodIsReplaced) {
    start({1, 1});
    word(0, 0)->store(5);
    EXPECT_EQ(word(1, 0)->fetch_add(1), 5u);
    EXPECT_EQ(word(0, 0)->load(), 6u);
    EXPECT_EQ(counters(0).revalidated, 0u);
}

TEST_F(BrokerTest, AGuestOfTwiceTheLimitKeepsItsContents) {
    constexpr std::uint64_t kPages = 256, kLimit = 128;
    start({64, 64, 64, 64}, kLimit);
    for (std::uint64_t round = 1; round <= 3; ++round)
        for (std::uint64_t page = 0; page < kPages; ++page) {
            EXPECT_EQ(word(0, page)->load(), (round - 1) * (page + 1));
            word(0, page)->store(round * (page + 1));
            EXPECT_LE(kernel_pages(0), kLimit);
        }
    for (std::uint64_t page = 0; page < kPages; ++page)
        EXPECT_EQ(word(1, page)->load(), 3 * (page + 1));
    EXPECT_GT(counters(0).written_back, kPages);
    for (std::size_t node = 0; node < 4; ++node)
        EXPECT_LE(memory(node).resident_max, kLimit) << node;
    EXPECT_GT(memory(1).dropped, 0u);
}

// With each pass what is kept lies in more pieces among what moves.
TEST_F(BrokerTest, ALoopOverTwiceTheLimitKeepsFindingNearlyHalfOfItAgain) {
    constexpr std::uint64_t kLimit = 4096, kPages = 2 * kLimit, kPasses = 32;
    start({kPages, 1}, kLimit);
    for (std::uint64_t pass = 0; pass < kPasses; ++pass)
        for (std::uint64_t page = 0; page < kPages; ++page)
            ASSERT_EQ(word(1, page)->exchange(pass + 1), pass);
    EXPECT_LT(counters(1).fetches_write, (kPasses - 1) * kPages * 62 / 100 + kPages);
}

// Every node's own word of every page, at random, and others' which must not go back.
TEST_F(BrokerTest, RandomWorkWithLittleMemoryLosesNothing) {
    constexpr std::uint64_t kPages = 96, kLimit = 40, kOperations = 1500;
    start({32, 32, 32}, kLimit);
    std::array<std::array<std::uint64_t, kPages>, 3> mine{};
    std::atomic<int> wrong = 0;
    {
        std::vector<std::jthread> threads;
        for (std::size_t node = 0; node < 3; ++node)
            threads.emplace_back([&, node] {
                std::array<std::array<std::uint64_t, kPages>, 3> seen{};
                std::minstd_rand random{static_cast<unsigned>(node + 1)};
                for (std::uint64_t i = 0; i < kOperations; ++i) {
                    const std::uint64_t page = random() % kPages;
                    const std::size_t owner = random() % 3;
                    const std::uint64_t found = word(node, page, owner)->load();
                    if (found < seen[owner][page]) ++wrong;
                    seen[owner][page] = found;
                    if (random() % 2 == 0) continue;
                    if (word(node, page, node)->load() != mine[node][page]) ++wrong;
                    word(node, page, node)->store(++mine[node][page]);
                }
            });
    }
    EXPECT_EQ(wrong, 0);
    for (std::uint64_t page = 0; page < kPages; ++page)
        for (std::size_t owner = 0; owner < 3; ++owner)
            EXPECT_EQ(word((owner + 1) % 3, page, owner)->load(), mine[owner][page]);
    for (std::size_t node = 0; node < 3; ++node) {
        EXPECT_LE(memory(node).resident_max, kLimit) << node;
        EXPECT_LE(kernel_pages(node), kLimit) << node;
        EXPECT_GT(counters(node).written_back + memory(node).dropped, 0u) << node;
    }
}

// Dekker's pattern: with anything weaker than sequential consistency across nodes both could see
// the other's flag unset.
TEST_F(BrokerTest, StoreThenLoadIsSequentiallyConsistentAcrossNodes) {
    start({1, 1});
    constexpr std::uint64_t kRounds = 300;
    std::atomic<std::uint64_t> seen_zero[2][kRounds] = {};
    std::atomic<std::uint64_t> arrived = 0;
    {
        std::vector<std::jthread> threads;
        for (std::size_t node = 0; node < 2; ++node)
            threads.emplace_back([&, node] {
                for (std::uint64_t i = 0; i < kRounds; ++i) {
                    arrived.fetch_add(1);
                    while (arrived.load() < 2 * (i + 1)) std::this_thread::yield();
                    word(node, node)->store(i + 1);
                    seen_zero[node][i] = word(node, 1 - node)->load() < i + 1;
                }
            });
    }
    for (std::uint64_t i = 0; i < kRounds; ++i)
        EXPECT_FALSE(seen_zero[0][i] && seen_zero[1][i]) << "round " << i;
}

// Each thread writes its own word of each page; after that everybody's words are there.
TEST_F(BrokerTest, FalselySharedPagesKeepEveryWord) {
    start({4, 4, 4});
    {
        std::vector<std::jthread> threads;
        for (std::size_t node = 0; node < 3; ++node)
            threads.emplace_back([&, node] {
                for (std::uint64_t round = 1; round <= 20; ++round)
                    for (std::uint64_t page = 0; page < 12; ++page)
                        word(node, page, node)->store(round * 1000 + page);
            });
    }
    for (std::uint64_t page = 0; page < 12; ++page)
        for (std::size_t by = 0; by < 3; ++by)
            EXPECT_EQ(word((by + 1) % 3, page, by)->load(), 20 * 1000 + page);
}

}  // namespace
}  // namespace vsmp
