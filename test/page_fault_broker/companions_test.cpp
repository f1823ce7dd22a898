#include "page_fault_broker/core/companions.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace vsmp::coherence {
namespace {

constexpr Claimant kVcpu{3}, kOther{4};
constexpr PageNumber kFirst{100}, kSecond{7}, kThird{5000}, kFourth{6000};

void fault_on(Companions& companions, std::initializer_list<PageNumber> pages, int times,
              Access access = Access::write, Claimant claimant = kVcpu) {
    for (int i = 0; i < times; ++i)
        for (PageNumber page : pages) companions.on_fault(claimant, page, access);
}

std::vector<PageNumber> joined(Companions& companions, PageNumber page) {
    std::vector<PageNumber> pages;
    for (const auto& wish : companions.joined_to(page)) pages.push_back(wish.page);
    return pages;
}

TEST(Companions, WhatFollowsTwiceIsJoined) {
    Companions companions{kMaxCompanions};
    fault_on(companions, {kFirst, kSecond, kThird}, 1);
    EXPECT_TRUE(joined(companions, kFirst).empty());
    fault_on(companions, {kFirst, kSecond, kThird}, 1);
    EXPECT_EQ(joined(companions, kFirst), (std::vector{kSecond, kThird}));
    EXPECT_EQ(joined(companions, kSecond), (std::vector{kThird}));
}

TEST(Companions, VcpusAreToldApart) {
    Companions companions{kMaxCompanions};
    for (int i = 0; i < 3; ++i) {
        companions.on_fault(kVcpu, PageNumber{10}, Access::read);
        companions.on_fault(kOther, PageNumber{20}, Access::read);
        companions.on_fault(kVcpu, PageNumber{11}, Access::read);
        companions.on_fault(kOther, PageNumber{21}, Access::read);
    }
    EXPECT_EQ(joined(companions, PageNumber{10}).front(), PageNumber{11});
    EXPECT_EQ(joined(companions, PageNumber{20}).front(), PageNumber{21});
}

TEST(Companions, AreWantedAsTheyWereBefore) {
    Companions companions{kMaxCompanions};
    for (int i = 0; i < 2; ++i) {
        companions.on_fault(kVcpu, kFirst, Access::read);
        companions.on_fault(kVcpu, kSecond, Access::write);
        companions.on_fault(kVcpu, kThird, Access::read);
    }
    const auto wishes = companions.joined_to(kFirst);
    ASSERT_EQ(wishes.size(), 2u);
    EXPECT_EQ(wishes[0].access, Access::write);
    EXPECT_EQ(wishes[1].access, Access::read);
}

TEST(Companions, OneOfThemIsAProbeAndNotAlwaysTheSame) {
    Companions companions{kMaxCompanions};
    fault_on(companions, {kFirst, kSecond, kThird, kFourth}, 2);
    std::vector<PageNumber> probes;
    for (int i = 0; i < 3; ++i) {
        const auto wishes = companions.joined_to(kFirst);
        ASSERT_EQ(std::ranges::count(wishes, Companions::Use::probe, &Companions::Wish::use), 1);
        probes.push_back(
            std::ranges::find(wishes, Companions::Use::probe, &Companions::Wish::use)->page);
    }
    EXPECT_EQ(probes, (std::vector{kSecond, kThird, kFourth}));
}

TEST(Companions, WhatIsNotUsedIsForgottenWhatIsStays) {
    Companions companions{kMaxCompanions};
    fault_on(companions, {kFirst, kSecond}, 2);
    fault_on(companions, {kThird, kFourth}, 2);
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(joined(companions, kThird).front(), kFourth);
        companions.on_touched(kFourth);
    }
    ASSERT_EQ(joined(companions, kFirst).front(), kSecond);
    companions.on_wasted(kSecond);
    EXPECT_TRUE(joined(companions, kFirst).empty());
    EXPECT_EQ(companions.counters().used, 5u);
    EXPECT_EQ(companions.counters().wasted, 1u);
}

TEST(Companions, WhoReadsAndThenWritesIsGivenItToWrite) {
    Companions companions{kMaxCompanions};
    const auto reads_then_writes = [&] {
        const Access asked = companions.on_fault(kVcpu, kFirst, Access::read);
        if (asked == Access::read) companions.on_fault(kVcpu, kFirst, Access::write);
        companions.on_lost(kFirst);
        return asked;
    };
    EXPECT_EQ(reads_then_writes(), Access::read);
    EXPECT_EQ(reads_then_writes(), Access::read);
    int reads = 0;
    for (unsigned i = 0; i < 4 * Companions::kSampleEvery; ++i)
        reads += reads_then_writes() == Access::read;
    EXPECT_EQ(reads, 4) << "the samples";
}

TEST(Companions, WhoNoLongerWritesIsGivenItToRead) {
    Companions companions{kMaxCompanions};
    for (int i = 0; i < 3; ++i) {
        companions.on_fault(kVcpu, kFirst, Access::read);
        companions.on_fault(kVcpu, kFirst, Access::write);
        companions.on_lost(kFirst);
    }
    int writes = 0;
    for (unsigned i = 0; i < 100; ++i) {
        writes += companions.on_fault(kVcpu, kFirst, Access::read) == Access::write;
        companions.on_lost(kFirst);
    }
    EXPECT_LE(writes, static_cast<int>(3 * Companions::kSampleEvery));
}

TEST(Companions, AreBoundedAndCanBeSwitchedOff) {
    Companions companions{5}, none{0};
    for (Companions* c : {&companions, &none})
        for (int i = 0; i < 3; ++i)
            for (std::uint64_t page = 0; page < 100; ++page)
                c->on_fault(kVcpu, PageNumber{page * 3}, Access::write);
    EXPECT_EQ(joined(companions, PageNumber{0}).size(), 5u);
    EXPECT_TRUE(joined(none, PageNumber{0}).empty());
    none.on_touched(PageNumber{0});
    none.on_lost(PageNumber{0});
    none.on_wasted(PageNumber{0});
}

// A page that fell out of the table, as its place was taken, is not asked for.
TEST(Companions, TheTableMayOverflow) {
    Companions companions{kMaxCompanions};
    fault_on(companions, {kFirst, kSecond}, 3);
    for (std::uint64_t page = 0; page < 100'000; ++page)
        companions.on_fault(kOther, PageNumber{1'000'000 + page}, Access::read);
    EXPECT_TRUE(joined(companions, kFirst).empty());
    fault_on(companions, {kFirst, kSecond}, 3);
    EXPECT_EQ(joined(companions, kFirst).front(), kSecond);
}

}  // namespace
}  // namespace vsmp::coherence
