#include "vcpu_shipper/core/interrupt.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace vsmp::shipper {
namespace {

std::vector<Interrupt> contents(const InterruptStash& stash) {
    std::vector<Interrupt> all;
    stash.for_each([&](const Interrupt& interrupt) { all.push_back(interrupt); });
    return all;
}

TEST(InterruptStash, KeepsEveryVectorOnce) {
    InterruptStash stash;
    EXPECT_TRUE(stash.empty());
    for (int round = 0; round < 2; ++round)
        for (unsigned v = 0; v < 256; ++v)
            stash.add({InterruptKind::fixed, static_cast<std::uint8_t>(v), Trigger::edge});
    const auto all = contents(stash);
    ASSERT_EQ(all.size(), 256u);
    for (unsigned i = 0; i < 256; ++i) EXPECT_EQ(all[i].vector, 255 - i);
}

TEST(InterruptStash, TheLastTriggerModeOfAVectorCounts) {
    InterruptStash stash;
    stash.add({InterruptKind::fixed, 0x40, Trigger::edge});
    stash.add({InterruptKind::fixed, 0x40, Trigger::level});
    stash.add({InterruptKind::fixed, 0x41, Trigger::level});
    stash.add({InterruptKind::fixed, 0x41, Trigger::edge});
    const std::vector<Interrupt> expected = {{InterruptKind::fixed, 0x41, Trigger::edge},
                                             {InterruptKind::fixed, 0x40, Trigger::level}};
    EXPECT_EQ(contents(stash), expected);
}

TEST(InterruptStash, StartSequenceKeepsItsOrder) {
    InterruptStash stash;
    stash.add({InterruptKind::fixed, 0x40});  // gone with the INIT, as in the APIC
    stash.add({InterruptKind::init});
    stash.add({InterruptKind::sipi, 0x9a});
    stash.add({InterruptKind::sipi, 0x9b});  // the processor runs by then
    stash.add({InterruptKind::nmi});
    const std::vector<Interrupt> expected = {
        {InterruptKind::init}, {InterruptKind::sipi, 0x9a}, {InterruptKind::nmi}};
    EXPECT_EQ(contents(stash), expected);
}

}  // namespace
}  // namespace vsmp::shipper
