#include "vmm/devices/acpi_pm.hpp"

#include <gtest/gtest.h>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

class AcpiPmTest : public testing::Test {
  protected:
    Clock clock;
    Wire sci;
    int power_offs = 0;
    AcpiPm pm{{clock.reader(), sci.line(), [this] { ++power_offs; }}};
};

TEST_F(AcpiPmTest, TheTimerRunsAt3579545HzAndWraps) {
    EXPECT_EQ(in<std::uint32_t>(pm, 8), 0u);
    clock.now += std::chrono::seconds(1);
    EXPECT_EQ(in<std::uint32_t>(pm, 8), 3'579'545u);
    clock.now += std::chrono::seconds(1199);
    EXPECT_EQ(in<std::uint32_t>(pm, 8), static_cast<std::uint32_t>(1200ull * 3'579'545));
}

TEST_F(AcpiPmTest, SleepTypeS5IsPowerOff) {
    EXPECT_EQ(in<std::uint16_t>(pm, 4), 1) << "ACPI mode";
    out<std::uint16_t>(pm, 4, 5 << 10);
    EXPECT_EQ(power_offs, 0) << "type without enable";
    out<std::uint16_t>(pm, 4, 5 << 10 | 1 << 13);
    EXPECT_EQ(power_offs, 1);
    EXPECT_EQ(in<std::uint16_t>(pm, 4), 5 << 10 | 1) << "SLP_EN is write-only";
}

TEST_F(AcpiPmTest, OtherSleepTypesDoNothing) {
    out<std::uint16_t>(pm, 4, 1 << 10 | 1 << 13);
    EXPECT_EQ(power_offs, 0);
}

TEST_F(AcpiPmTest, ThePowerButtonRaisesSciWhenEnabledUntilCleared) {
    pm.press_power_button();
    EXPECT_EQ(sci.level, Level::low) << "not enabled";
    out<std::uint16_t>(pm, 0, 0x100);
    out<std::uint16_t>(pm, 2, 0x100);
    EXPECT_EQ(sci.level, Level::low);
    pm.press_power_button();
    EXPECT_EQ(sci.level, Level::high);
    EXPECT_EQ(in<std::uint16_t>(pm, 0), 0x100);
    out<std::uint16_t>(pm, 0, 0x001);
    EXPECT_EQ(sci.level, Level::high) << "cleared another bit";
    out<std::uint16_t>(pm, 0, 0x100);
    EXPECT_EQ(sci.level, Level::low);
}

TEST_F(AcpiPmTest, BytesOfARegisterCanBeWrittenAlone) {
    out(pm, 3, 0x01);
    EXPECT_EQ(in<std::uint16_t>(pm, 2), 0x100);
    pm.press_power_button();
    out(pm, 1, 0x01);
    EXPECT_EQ(in<std::uint16_t>(pm, 0), 0);
    out(pm, 5, 5 << 2 | 1 << 5);
    EXPECT_EQ(power_offs, 1);
}

}  // namespace
}  // namespace vsmp
