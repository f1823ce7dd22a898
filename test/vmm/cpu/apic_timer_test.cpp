#include "vmm/cpu/apic_timer.hpp"

#include <gtest/gtest.h>

#include <array>

namespace vsmp::cpu {
namespace {

constexpr GuestTsc at(std::uint64_t tsc) {
    return GuestTsc(tsc);
}

TEST(ApicTimer, DividesByWhatTheRegisterSays) {
    // SDM figure 10-10.
    const std::pair<std::uint32_t, std::uint64_t> table[] = {
        {0x0, 2}, {0x1, 4}, {0x2, 8}, {0x3, 16}, {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
    for (const auto& [value, divisor] : table) {
        ApicTimer timer;
        timer.set_divide_configuration(value | 0xfffffff4, at(0));
        EXPECT_EQ(timer.divide_configuration(), value);
        timer.set_initial_count(10, at(1000));
        EXPECT_EQ(timer.expiry(), at(1000 + 10 * divisor));
    }
}

TEST(ApicTimer, OneShotCountsDownOnce) {
    ApicTimer timer;
    timer.set_divide_configuration(0xb, at(0));
    timer.set_initial_count(100, at(50));
    EXPECT_EQ(timer.current_count(at(50)), 100u);
    EXPECT_EQ(timer.current_count(at(149)), 1u);
    EXPECT_EQ(timer.take_expiry(at(149)), TimerEvent::none);
    EXPECT_EQ(timer.take_expiry(at(150)), TimerEvent::expired);
    EXPECT_EQ(timer.take_expiry(at(1000)), TimerEvent::none);
    EXPECT_EQ(timer.current_count(at(1000)), 0u);
    EXPECT_EQ(timer.initial_count(), 100u);
}

TEST(ApicTimer, CountRoundsUpWithinATick) {
    ApicTimer timer;  // divides by 2
    timer.set_initial_count(10, at(0));
    EXPECT_EQ(timer.current_count(at(1)), 10u);
    EXPECT_EQ(timer.current_count(at(2)), 9u);
}

TEST(ApicTimer, PeriodicKeepsItsPhase) {
    ApicTimer timer;
    timer.set_mode(TimerMode::periodic);
    timer.set_divide_configuration(0xb, at(0));
    timer.set_initial_count(100, at(0));
    EXPECT_EQ(timer.take_expiry(at(130)), TimerEvent::expired);
    EXPECT_EQ(timer.expiry(), at(200));
    EXPECT_EQ(timer.current_count(at(130)), 70u);
    // Three periods missed: one expiry, and on with the beat.
    EXPECT_EQ(timer.take_expiry(at(450)), TimerEvent::expired);
    EXPECT_EQ(timer.take_expiry(at(450)), TimerEvent::none);
    EXPECT_EQ(timer.expiry(), at(500));
    EXPECT_EQ(timer.take_expiry(at(500)), TimerEvent::expired);
    EXPECT_EQ(timer.expiry(), at(600));
}

TEST(ApicTimer, InitialCountZeroStops) {
    ApicTimer timer;
    timer.set_mode(TimerMode::periodic);
    timer.set_initial_count(100, at(0));
    timer.set_initial_count(0, at(10));
    EXPECT_EQ(timer.expiry(), std::nullopt);
    EXPECT_EQ(timer.take_expiry(at(100000)), TimerEvent::none);
}

TEST(ApicTimer, ChangingTheDivisorKeepsTheCount) {
    ApicTimer timer;
    timer.set_divide_configuration(0xb, at(0));
    timer.set_initial_count(100, at(0));
    timer.set_divide_configuration(0x3, at(40));
    EXPECT_EQ(timer.current_count(at(40)), 60u);
    EXPECT_EQ(timer.expiry(), at(40 + 60 * 16));
}

TEST(ApicTimer, DeadlineMode) {
    ApicTimer timer;
    timer.set_deadline(500);  // ignored in the other modes
    EXPECT_EQ(timer.deadline(), 0u);
    EXPECT_EQ(timer.expiry(), std::nullopt);
    timer.set_mode(TimerMode::tsc_deadline);
    timer.set_deadline(500);
    EXPECT_EQ(timer.deadline(), 500u);
    timer.set_initial_count(7, at(0));  // ignored in this one
    EXPECT_EQ(timer.initial_count(), 0u);
    EXPECT_EQ(timer.current_count(at(100)), 0u);
    EXPECT_EQ(timer.take_expiry(at(499)), TimerEvent::none);
    EXPECT_EQ(timer.take_expiry(at(500)), TimerEvent::expired);
    EXPECT_EQ(timer.deadline(), 0u);
    timer.set_deadline(600);
    timer.set_deadline(0);
    EXPECT_EQ(timer.take_expiry(at(700)), TimerEvent::none);
}

TEST(ApicTimer, SwitchingToOrFromDeadlineModeDisarms) {
    ApicTimer timer;
    timer.set_initial_count(100, at(0));
    timer.set_mode(TimerMode::periodic);
    EXPECT_TRUE(timer.expiry());
    timer.set_mode(TimerMode::tsc_deadline);
    EXPECT_FALSE(timer.expiry());
    timer.set_deadline(500);
    timer.set_mode(TimerMode::one_shot);
    EXPECT_FALSE(timer.expiry());
    EXPECT_EQ(timer.initial_count(), 0u);
}

ApicTimer through_the_wire(const ApicTimer& timer) {
    std::array<std::byte, ApicTimer::kEncodedSize> bytes{};
    ByteWriter to(bytes);
    timer.encode(to);
    EXPECT_EQ(to.size(), bytes.size());
    ByteReader from(bytes);
    return *ApicTimer::decode(from);
}

TEST(ApicTimer, EncodingKeepsEverything) {
    ApicTimer timer;
    EXPECT_EQ(through_the_wire(timer), timer);
    timer.set_mode(TimerMode::periodic);
    timer.set_divide_configuration(0x9, at(0));
    timer.set_initial_count(123456, at(789));
    EXPECT_EQ(through_the_wire(timer), timer);
    timer.set_mode(TimerMode::tsc_deadline);
    timer.set_deadline(0x123456789abcdef);
    EXPECT_EQ(through_the_wire(timer), timer);
}

TEST(ApicTimer, RefusesImpossibleEncodings) {
    ApicTimer timer;
    timer.set_mode(TimerMode::periodic);
    timer.set_initial_count(5, at(0));
    std::array<std::byte, ApicTimer::kEncodedSize> good{};
    ByteWriter to(good);
    timer.encode(to);
    const auto refused = [&](std::size_t position, std::uint8_t value) {
        auto bad = good;
        bad[position] = std::byte{value};
        ByteReader from(bad);
        return !ApicTimer::decode(from);
    };
    EXPECT_TRUE(refused(0, 3)) << "no such mode";
    EXPECT_TRUE(refused(1, 0x84)) << "no such divisor";
    EXPECT_TRUE(refused(6, 1)) << "reserved";
    EXPECT_TRUE(refused(2, 0)) << "periodic, running, and no period";
    ByteReader cut(ByteView(good).first(good.size() - 1));
    EXPECT_FALSE(ApicTimer::decode(cut));
}

}  // namespace
}  // namespace vsmp::cpu
