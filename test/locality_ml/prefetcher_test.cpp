#include "locality_ml/learned/prefetcher.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace vsmp::locality {
namespace {

using namespace std::chrono_literals;

// A vCPU that touches pages in some order; what was prefetched and is touched is used, the rest
// wasted after 1000 further touches.
struct Reader {
    Prefetcher prefetcher;
    Companions companions;
    std::set<std::uint64_t> present, untouched;
    Instant now{1s};
    std::size_t faults = 0;

    void touch(std::uint64_t page) {
        now += 100us;
        if (untouched.erase(page) > 0)
            prefetcher.on_fate(PageNumber{page}, PrefetchFate::used, now);
        if (!present.insert(page).second) return;
        ++faults;
        PageList list;
        prefetcher.on_fault(PageNumber{page}, NodeId{1}, 1 << 20, now, companions, list);
        for (const PageNumber other : list)
            if (present.insert(other.value()).second)
                untouched.insert(other.value());
            else
                prefetcher.on_fate(other, PrefetchFate::missed, now);
    }
    void give_up() {
        for (const auto page : untouched)
            prefetcher.on_fate(PageNumber{page}, PrefetchFate::wasted, now);
        untouched.clear();
    }
    void forget() {
        give_up();
        present.clear();
    }
};

TEST(Prefetcher, FollowsASequence) {
    Reader reader;
    for (std::uint64_t page = 1000; page < 3000; ++page) reader.touch(page);
    EXPECT_LT(reader.faults, 300u);
    EXPECT_GT(reader.prefetcher.coverage(), 0.8F);
    EXPECT_GT(reader.prefetcher.accuracy(), 0.99F);
}

TEST(Prefetcher, FollowsAStrideBackwards) {
    Reader reader;
    for (std::uint64_t page = 50'000; page > 30'000; page -= 7) reader.touch(page);
    EXPECT_GT(reader.prefetcher.coverage(), 0.8F);
}

TEST(Prefetcher, FollowsSequencesThatAlternate) {
    Reader reader;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        reader.touch(1000 + i);
        reader.touch(90'000 + 2 * i);
    }
    EXPECT_GT(reader.prefetcher.coverage(), 0.7F);
}

TEST(Prefetcher, RemembersWhatCameAfter) {
    Reader reader;
    std::mt19937_64 random{1};
    std::vector<std::uint64_t> walk;
    for (int i = 0; i < 200; ++i) walk.push_back(random() % (1 << 20));
    for (int round = 0; round < 10; ++round) {
        for (const auto page : walk) reader.touch(page);
        reader.forget();
    }
    EXPECT_GT(reader.prefetcher.coverage(), 0.3F);
    EXPECT_GT(reader.prefetcher.accuracy(), 0.8F);
}

TEST(Prefetcher, IsSilentWhereNothingFollows) {
    Reader reader;
    std::mt19937_64 random{1};
    for (int i = 0; i < 20'000; ++i) {
        reader.touch(random() % (1 << 20));
        if (i % 100 == 99) reader.give_up();
    }
    EXPECT_LT(reader.prefetcher.used() + reader.prefetcher.wasted(), 200u);
}

// Sequences that break off as soon as they are believed.
TEST(Prefetcher, SwitchesItselfOffWhenAFifthIsWasted) {
    Reader reader;
    std::uint64_t page = 0;
    for (int i = 0; i < 5'000; ++i) {
        page += 1000;
        for (std::uint64_t j = 0; j < 4; ++j) reader.touch(page % (1 << 20) + j);
        reader.give_up();
        reader.present.clear();
    }
    EXPECT_LT(reader.prefetcher.wasted(), 100u);
}

}  // namespace
}  // namespace vsmp::locality
