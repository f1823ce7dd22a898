#include "vmm/devices/pit.hpp"

#include <gtest/gtest.h>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr TickRate kRate{platform::kPitHz};

class PitTest : public testing::Test {
  protected:
    void pass_ticks(std::uint64_t ticks) { clock.now += kRate.duration(ticks); }
    std::uint16_t read_count(std::uint64_t channel) {
        const std::uint8_t low = in(pit, channel);
        return static_cast<std::uint16_t>(in(pit, channel) << 8 | low);
    }
    void program(std::uint64_t channel, std::uint8_t mode, std::uint16_t count) {
        out(pit, 3, static_cast<std::uint8_t>(channel << 6 | 0x30 | mode << 1));
        out(pit, channel, static_cast<std::uint8_t>(count));
        out(pit, channel, static_cast<std::uint8_t>(count >> 8));
    }
    Clock clock;
    Wire irq;
    Pit pit{clock.reader(), irq.line()};
    PortB port_b{pit};
};

// Linux's quick_pit_calibrate(): reads the high byte of channel 2 and watches it step down.
TEST_F(PitTest, Channel2CountsDownFromFfffInMode0) {
    out(port_b, 0, static_cast<std::uint8_t>((in(port_b, 0) & ~0x02) | 0x01));
    program(2, 0, 0xffff);
    EXPECT_EQ(read_count(2) >> 8, 0xff);
    pass_ticks(256);
    EXPECT_EQ(read_count(2) >> 8, 0xfe);
    clock.now += milliseconds(10);
    EXPECT_EQ(read_count(2), 0xffff - 256 - 11931);
}

// Linux's pit_calibrate_tsc(): waits for bit 5 of port 0x61.
TEST_F(PitTest, Out2RisesAfterTheCount) {
    out(port_b, 0, 0x01);
    program(2, 0, 59659);  // 50 ms
    EXPECT_EQ(in(port_b, 0) & 0x20, 0);
    clock.now += milliseconds(49);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0);
    clock.now += milliseconds(2);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
    EXPECT_EQ(in(port_b, 0) & 0x03, 0x01) << "gate reads back";
}

TEST_F(PitTest, TheGateStopsChannel2) {
    out(port_b, 0, 0x00);
    program(2, 0, 1000);
    pass_ticks(5000);
    EXPECT_EQ(read_count(2), 1000);
    out(port_b, 0, 0x01);
    pass_ticks(400);
    EXPECT_EQ(read_count(2), 600);
    out(port_b, 0, 0x00);
    pass_ticks(5000);
    EXPECT_EQ(read_count(2), 600);
    out(port_b, 0, 0x01);
    pass_ticks(599);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0);
    pass_ticks(2);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
}

TEST_F(PitTest, TheRefreshBitToggles) {
    const std::uint8_t first = in(port_b, 0) & 0x10;
    EXPECT_NE(in(port_b, 0) & 0x10, first);
}

TEST_F(PitTest, RateGeneratorInterruptsEachPeriod) {
    program(0, 2, 11932);  // 100 Hz
    for (int i = 1; i <= 5; ++i) {
        const auto due = pit.next_deadline();
        ASSERT_TRUE(due);
        EXPECT_NEAR(static_cast<double>((*due - clock.now).count()), 1e7, 1e4);
        pit.expire(*due - microseconds(1));
        EXPECT_EQ(irq.rises, i - 1) << "not before its time";
        clock.now = *due;
        pit.expire(clock.now);
        EXPECT_EQ(irq.rises, i);
    }
}

TEST_F(PitTest, MissedPeriodsMakeOneInterrupt) {
    program(0, 2, 11932);
    clock.now += seconds(1);
    pit.expire(clock.now);
    EXPECT_EQ(irq.rises, 1);
    EXPECT_GT(*pit.next_deadline(), clock.now);
}

TEST_F(PitTest, PeriodsDoNotDrift) {
    program(0, 2, 0);  // 65536
    const Instant begin = clock.now;
    for (int i = 0; i < 1000; ++i) {
        clock.now = *pit.next_deadline();
        pit.expire(clock.now);
    }
    EXPECT_EQ(irq.rises, 1000);
    EXPECT_EQ(clock.now - begin, kRate.duration(65536u * 1000));
}

TEST_F(PitTest, OneShotsInterruptOnce) {
    for (std::uint8_t mode : std::initializer_list<std::uint8_t>{0, 4}) {
        irq.rises = 0;
        program(0, mode, 1000);
        clock.now = *pit.next_deadline();
        pit.expire(clock.now);
        EXPECT_EQ(irq.rises, 1);
        EXPECT_FALSE(pit.next_deadline());
        pit.expire(clock.now + seconds(1));
        EXPECT_EQ(irq.rises, 1);
    }
}

TEST_F(PitTest, AControlWordStopsTheChannel) {
    program(0, 2, 1000);
    EXPECT_TRUE(pit.next_deadline());
    out(pit, 3, 0x30);
    EXPECT_FALSE(pit.next_deadline());
}

TEST_F(PitTest, ALatchedCountStaysUntilItIsRead) {
    program(0, 2, 10000);
    pass_ticks(100);
    out(pit, 3, 0x00);
    pass_ticks(500);
    out(pit, 3, 0x00);
    EXPECT_EQ(read_count(0), 9900);
    EXPECT_EQ(read_count(0), 9400);
}

TEST_F(PitTest, ReadBackLatchesStatusThenCount) {
    program(0, 3, 10000);
    out(pit, 3, 0xc2);
    EXPECT_EQ(in(pit, 0), 0x80 | 0x30 | 3 << 1);
    EXPECT_EQ(read_count(0), 10000);
    out(pit, 3, 0x36);
    out(pit, 3, 0xe2);  // status only
    EXPECT_EQ(in(pit, 0) & 0x40, 0x40) << "no count yet";
}

TEST_F(PitTest, SquareWaveIsHighForHalfThePeriod) {
    out(port_b, 0, 0x01);
    program(2, 3, 1000);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
    pass_ticks(499);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
    pass_ticks(1);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0);
    pass_ticks(500);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
}

TEST_F(PitTest, SingleByteAccess) {
    out(pit, 3, 0x14);  // channel 0, low byte only, mode 2
    out(pit, 0, 100);
    pass_ticks(10);
    EXPECT_EQ(in(pit, 0), 90);
    EXPECT_EQ(in(pit, 0), 90);
}

TEST_F(PitTest, OneShotOfMode1StartsWithTheGate) {
    out(port_b, 0, 0x00);
    program(2, 1, 100);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
    out(port_b, 0, 0x01);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0);
    pass_ticks(100);
    EXPECT_EQ(in(port_b, 0) & 0x20, 0x20);
}

}  // namespace
}  // namespace vsmp
