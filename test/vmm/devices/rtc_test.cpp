#include "vmm/devices/rtc.hpp"

#include <gtest/gtest.h>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

using namespace std::chrono_literals;

class RtcTest : public testing::Test {
  protected:
    std::uint8_t cell(std::uint8_t index) {
        out(rtc, 0, index);
        return in(rtc, 1);
    }
    void set_cell(std::uint8_t index, std::uint8_t value) {
        out(rtc, 0, index);
        out(rtc, 1, value);
    }
    // A Tuesday afternoon.
    WallTime wall = std::chrono::sys_days{2026y / 11 / 24} + 15h + 4min + 59s;
    Rtc rtc{[this] { return wall; }};
};

TEST_F(RtcTest, TellsTheTimeInBcd) {
    EXPECT_EQ(cell(0), 0x59);
    EXPECT_EQ(cell(2), 0x04);
    EXPECT_EQ(cell(4), 0x15);
    EXPECT_EQ(cell(6), 0x03) << "Sunday is 1";
    EXPECT_EQ(cell(7), 0x24);
    EXPECT_EQ(cell(8), 0x11);
    EXPECT_EQ(cell(9), 0x26);
    EXPECT_EQ(cell(0x32), 0x20);
    wall += 1s;
    EXPECT_EQ(cell(0), 0x00);
    EXPECT_EQ(cell(2), 0x05);
}

TEST_F(RtcTest, StatusRegisters) {
    EXPECT_EQ(cell(10), 0x26) << "never updating";
    EXPECT_EQ(cell(11), 0x02) << "24 hours, BCD";
    EXPECT_EQ(cell(12), 0x00);
    EXPECT_EQ(cell(13), 0x80) << "valid";
    out(rtc, 0, 0x8d);
    EXPECT_EQ(in(rtc, 1), 0x80) << "bit 7 of the index masks NMI";
}

TEST_F(RtcTest, BinaryAndTwelveHours) {
    set_cell(11, 0x06);
    EXPECT_EQ(cell(0), 59);
    EXPECT_EQ(cell(4), 15);
    set_cell(11, 0x04);
    EXPECT_EQ(cell(4), 0x83) << "3 pm";
    set_cell(11, 0x00);
    wall += 9h;
    EXPECT_EQ(cell(4), 0x12) << "midnight is 12 am";
}

TEST_F(RtcTest, TheGuestCanSetItsClock) {
    set_cell(11, 0x82);
    set_cell(9, 0x30);
    set_cell(4, 0x01);
    EXPECT_EQ(cell(9), 0x30);
    wall += 10s;
    EXPECT_EQ(cell(0), 0x59) << "held while being set";
    set_cell(11, 0x02);
    EXPECT_EQ(cell(9), 0x30);
    EXPECT_EQ(cell(4), 0x01);
    EXPECT_EQ(cell(0), 0x59);
    wall += 1s;
    EXPECT_EQ(cell(0), 0x00);
    EXPECT_EQ(cell(6), 0x01) << "24 November 2030 is a Sunday";
}

TEST_F(RtcTest, AnImpossibleDateIsIgnored) {
    set_cell(11, 0x82);
    set_cell(8, 0x13);
    set_cell(11, 0x02);
    EXPECT_EQ(cell(8), 0x11);
}

TEST_F(RtcTest, OtherCellsAreMemory) {
    set_cell(0x40, 0xa5);
    EXPECT_EQ(cell(0x40), 0xa5);
    set_cell(13, 0);
    EXPECT_EQ(cell(13), 0x80);
}

}  // namespace
}  // namespace vsmp
