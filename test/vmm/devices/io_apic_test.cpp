#include "vmm/devices/io_apic.hpp"

#include <gtest/gtest.h>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

constexpr std::uint32_t kLevelBit = 1u << 15, kMaskBit = 1u << 16, kRemoteIrrBit = 1u << 14;

class IoApicTest : public testing::Test {
  protected:
    std::uint32_t reg(std::uint8_t index) {
        out<std::uint32_t>(apic, 0x00, index);
        return in<std::uint32_t>(apic, 0x10);
    }
    void set_reg(std::uint8_t index, std::uint32_t value) {
        out<std::uint32_t>(apic, 0x00, index);
        out<std::uint32_t>(apic, 0x10, value);
    }
    static std::uint8_t low(unsigned pin) { return static_cast<std::uint8_t>(0x10 + 2 * pin); }
    static std::uint8_t high(unsigned pin) { return static_cast<std::uint8_t>(0x11 + 2 * pin); }

    std::vector<InterruptMessage> sent;
    IoApic apic{[this](const InterruptMessage& message) { sent.push_back(message); }};
};

TEST_F(IoApicTest, VersionSays24PinsAndEverythingStartsMasked) {
    EXPECT_EQ(reg(1), 0x00170020u);
    for (unsigned pin = 0; pin < 24; ++pin) EXPECT_EQ(reg(low(pin)), kMaskBit);
    EXPECT_EQ(reg(0x40), 0u) << "beyond the table";
}

TEST_F(IoApicTest, IdReadsBack) {
    set_reg(0, 0x05000000);
    EXPECT_EQ(reg(0), 0x05000000u);
}

TEST_F(IoApicTest, AnEdgeIsSentOnceWithItsDestination) {
    set_reg(high(4), 0x03000000);
    set_reg(low(4), 0x0930);  // logical, lowest priority, vector 0x30
    apic.set_pin(4, Level::high);
    apic.set_pin(4, Level::high);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0], (InterruptMessage{0x30, DeliveryMode::lowest_priority, 3,
                                         DestinationMode::logical, Trigger::edge}));
    apic.set_pin(4, Level::low);
    apic.set_pin(4, Level::high);
    EXPECT_EQ(sent.size(), 2u);
}

TEST_F(IoApicTest, AnEdgeWhileMaskedIsLost) {
    set_reg(low(4), kMaskBit | 0x30);
    apic.set_pin(4, Level::high);
    set_reg(low(4), 0x30);
    EXPECT_TRUE(sent.empty());
}

TEST_F(IoApicTest, ALevelIsSentAgainAfterEachEoiWhileHigh) {
    set_reg(low(9), kLevelBit | 0x41);
    apic.set_pin(9, Level::high);
    apic.set_pin(9, Level::low);
    apic.set_pin(9, Level::high);
    EXPECT_EQ(sent.size(), 1u) << "not before the EOI";
    EXPECT_EQ(sent[0].trigger, Trigger::level);
    EXPECT_NE(reg(low(9)) & kRemoteIrrBit, 0u);
    apic.end_of_interrupt(0x40);
    EXPECT_EQ(sent.size(), 1u) << "EOI of another vector";
    apic.end_of_interrupt(0x41);
    EXPECT_EQ(sent.size(), 2u);
    apic.set_pin(9, Level::low);
    apic.end_of_interrupt(0x41);
    EXPECT_EQ(sent.size(), 2u);
    EXPECT_EQ(reg(low(9)) & kRemoteIrrBit, 0u);
}

TEST_F(IoApicTest, ALevelWaitsBehindTheMask) {
    set_reg(low(9), kMaskBit | kLevelBit | 0x41);
    apic.set_pin(9, Level::high);
    EXPECT_TRUE(sent.empty());
    set_reg(low(9), kLevelBit | 0x41);
    EXPECT_EQ(sent.size(), 1u);
}

TEST_F(IoApicTest, TheEoiRegisterWorksLikeTheBroadcast) {
    set_reg(low(9), kLevelBit | 0x41);
    apic.set_pin(9, Level::high);
    out<std::uint32_t>(apic, 0x40, 0x41);
    EXPECT_EQ(sent.size(), 2u);
}

TEST_F(IoApicTest, OnePinsEoiServesAllPinsOfTheVector) {
    set_reg(low(9), kLevelBit | 0x41);
    set_reg(low(10), kLevelBit | 0x41);
    apic.set_pin(9, Level::high);
    apic.set_pin(10, Level::high);
    apic.end_of_interrupt(0x41);
    EXPECT_EQ(sent.size(), 4u);
}

TEST_F(IoApicTest, TurningEdgeTriggeredClearsRemoteIrr) {
    set_reg(low(9), kLevelBit | 0x41);
    apic.set_pin(9, Level::high);
    set_reg(low(9), kMaskBit | 0x41);
    EXPECT_EQ(reg(low(9)) & kRemoteIrrBit, 0u);
}

TEST_F(IoApicTest, ReadOnlyBitsIgnoreWrites) {
    set_reg(low(3), kMaskBit | kRemoteIrrBit | 1u << 12 | kLevelBit | 0x50);
    EXPECT_EQ(reg(low(3)), kMaskBit | kLevelBit | 0x50);
}

TEST_F(IoApicTest, AnNmiNeedsNoEoi) {
    set_reg(low(9), kLevelBit | 4u << 8);
    apic.set_pin(9, Level::high);
    EXPECT_EQ(sent[0].delivery, DeliveryMode::nmi);
    EXPECT_EQ(reg(low(9)) & kRemoteIrrBit, 0u);
}

}  // namespace
}  // namespace vsmp
