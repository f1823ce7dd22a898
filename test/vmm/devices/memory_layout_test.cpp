#include "vmm/memory_layout.hpp"

#include <gtest/gtest.h>

namespace vsmp {
namespace {

constexpr std::uint64_t kMiB = 1ull << 20, kGiB = 1ull << 30;

MemoryLayout layout_of(std::vector<std::uint64_t> cells) {
    return *MemoryLayout::create(cells);
}

TEST(MemoryLayout, SmallGuestIsOneSlot) {
    const MemoryLayout memory = layout_of({256 * kMiB, 256 * kMiB});
    ASSERT_EQ(memory.slots().size(), 1u);
    EXPECT_EQ(memory.slots()[0], (MemorySlot{Gpa{0}, 0, 512 * kMiB}));
    EXPECT_EQ(memory.page_count(), 512 * kMiB / 4096);
    EXPECT_EQ(memory.home_of(PageNumber{0}), NodeId{0});
    EXPECT_EQ(memory.home_of(PageNumber{65535}), NodeId{0});
    EXPECT_EQ(memory.home_of(PageNumber{65536}), NodeId{1});
    EXPECT_EQ(memory.home_of(PageNumber{131071}), NodeId{1});
}

TEST(MemoryLayout, RamGoesOnBehindTheHole) {
    const MemoryLayout memory = layout_of({2 * kGiB, 2 * kGiB, kGiB});
    ASSERT_EQ(memory.slots().size(), 2u);
    EXPECT_EQ(memory.slots()[0], (MemorySlot{Gpa{0}, 0, 3 * kGiB}));
    EXPECT_EQ(memory.slots()[1], (MemorySlot{Gpa{4 * kGiB}, 3 * kGiB, 2 * kGiB}));
    EXPECT_EQ(memory.cell_ranges(), (std::vector<CellRange>{{NodeId{0}, Gpa{0}, 2 * kGiB},
                                                            {NodeId{1}, Gpa{2 * kGiB}, kGiB},
                                                            {NodeId{1}, Gpa{4 * kGiB}, kGiB},
                                                            {NodeId{2}, Gpa{5 * kGiB}, kGiB}}));
}

TEST(MemoryLayout, EveryPageGoesThereAndBack) {
    const MemoryLayout memory = layout_of({3 * kGiB - 4096, 8192, kGiB});
    for (std::uint64_t page :
         {0ull, 1ull, 786430ull, 786431ull, 786432ull, 786433ull, memory.page_count() - 1 + 0ull}) {
        const Gpa gpa = memory.gpa_of(PageNumber{page});
        EXPECT_EQ(memory.page_of(gpa), PageNumber{page});
        EXPECT_EQ(memory.page_of(Gpa{gpa.value() + 4095}), PageNumber{page});
    }
    EXPECT_EQ(memory.gpa_of(PageNumber{786431}), Gpa{3 * kGiB - 4096});
    EXPECT_EQ(memory.gpa_of(PageNumber{786432}), Gpa{4 * kGiB});
    EXPECT_EQ(memory.home_of(PageNumber{786431}), NodeId{1});
    EXPECT_EQ(memory.home_of(PageNumber{786433}), NodeId{2});
}

TEST(MemoryLayout, TheHoleAndTheEndAreNotRam) {
    const MemoryLayout memory = layout_of({4 * kGiB});
    EXPECT_FALSE(memory.page_of(Gpa{3 * kGiB}));
    EXPECT_FALSE(memory.page_of(Gpa{4 * kGiB - 1}));
    EXPECT_FALSE(memory.page_of(Gpa{5 * kGiB}));
    EXPECT_FALSE(memory.page_of(Gpa{~0ull}));
    EXPECT_TRUE(memory.page_of(Gpa{5 * kGiB - 1}));
}

TEST(MemoryLayout, ExactlyThreeGigabytesNeedOneSlot) {
    EXPECT_EQ(layout_of({3 * kGiB}).slots().size(), 1u);
    EXPECT_EQ(layout_of({3 * kGiB, kGiB}).cell_ranges().size(), 2u);
}

TEST(MemoryLayout, E820ReservesTheTopOfTheFirstMegabyte) {
    EXPECT_EQ(layout_of({2 * kGiB, 2 * kGiB}).e820(),
              (std::vector<E820Entry>{{Gpa{0}, 0xa0000, E820Type::ram},
                                      {Gpa{0xa0000}, 0x60000, E820Type::reserved},
                                      {Gpa{0x100000}, 3 * kGiB - kMiB, E820Type::ram},
                                      {Gpa{4 * kGiB}, kGiB, E820Type::ram}}));
}

TEST(MemoryLayout, BadCellsAreRefused) {
    auto message = [](std::vector<std::uint64_t> cells) {
        return MemoryLayout::create(cells).error().message;
    };
    EXPECT_EQ(message({}), "memory layout: no cell");
    EXPECT_EQ(message({kGiB, 0}), "memory layout: cell 1 has no memory");
    EXPECT_EQ(message({kGiB + 1}), "memory layout: cell 0 is not a whole number of pages");
    EXPECT_EQ(message({kMiB}), "memory layout: less than 2 MiB in all");
    EXPECT_EQ(message({kGiB, ~0ull << 12}),
              "memory layout: cell 1: more than 64 TiB of guest memory in all");
    EXPECT_EQ(message(std::vector<std::uint64_t>(65, kGiB)), "memory layout: more than 64 cells");
}

}  // namespace
}  // namespace vsmp
