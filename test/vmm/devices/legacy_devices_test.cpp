#include "vmm/devices/legacy_devices.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

class LegacyDevicesTest : public testing::Test {
  protected:
    template <class T = std::uint8_t>
    T inp(std::uint16_t port) {
        std::array<std::byte, sizeof(T)> raw{};
        devices->ports().read(port, raw);
        return ByteReader{raw}.read<T>();
    }
    template <class T = std::uint8_t>
    void outp(std::uint16_t port, std::type_identity_t<T> value) {
        std::array<std::byte, sizeof(T)> raw{};
        ByteWriter{raw}.write(value);
        devices->ports().write(port, raw);
    }
    void mmio_out(std::uint64_t gpa, std::uint32_t value) {
        std::array<std::byte, 4> raw{};
        ByteWriter{raw}.write(value);
        devices->mmio().write(gpa, raw);
    }
    void route(unsigned pin, std::uint32_t entry) {
        mmio_out(platform::kIoApicBase.value(), 0x10 + 2 * pin);
        mmio_out(platform::kIoApicBase.value() + 0x10, entry);
    }

    Clock clock;
    std::vector<InterruptMessage> sent;
    std::string console;
    int power_offs = 0, resets = 0;
    std::unique_ptr<LegacyDevices> devices = LegacyDevices::create(
        {.now = clock.reader(),
         .wall_clock = [] { return WallTime{}; },
         .interrupt = [this](const InterruptMessage& message) { sent.push_back(message); },
         .console_output = [this](std::string_view text) { console += text; },
         .power_off = [this] { ++power_offs; },
         .reset = [this] { ++resets; }});
};

TEST_F(LegacyDevicesTest, TheSerialPortReachesThePinOfIrq4) {
    route(4, 0x34);
    outp(0x3fc, 0x08);
    outp(0x3f9, 0x01);
    EXPECT_EQ(devices->console_input("hi"), 2u);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].vector, 0x34);
    EXPECT_EQ(inp(0x3f8), 'h');
    outp(0x3f8, '!');
    EXPECT_EQ(console, "!");
}

TEST_F(LegacyDevicesTest, TheTimerReachesPin2) {
    route(2, 0x30);
    outp(0x43, 0x34);
    outp(0x40, 0xe8);
    outp(0x40, 0x03);
    clock.now = *devices->next_deadline();
    devices->expire(clock.now);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].vector, 0x30);
}

TEST_F(LegacyDevicesTest, ThePowerButtonReachesTheSciAndIsSentAgainUntilHandled) {
    route(9, 1u << 15 | 0x39);
    outp<std::uint16_t>(0x602, 0x100);
    devices->press_power_button();
    EXPECT_EQ(sent.size(), 1u);
    devices->end_of_interrupt(0x39);
    EXPECT_EQ(sent.size(), 2u);
    outp<std::uint16_t>(0x600, 0x100);
    devices->end_of_interrupt(0x39);
    EXPECT_EQ(sent.size(), 2u);
    outp<std::uint16_t>(0x604, 5 << 10 | 1 << 13);
    EXPECT_EQ(power_offs, 1);
}

TEST_F(LegacyDevicesTest, BothResetPortsReset) {
    outp(0xcf9, 0x02);
    EXPECT_EQ(resets, 0);
    outp(0xcf9, 0x06);
    EXPECT_EQ(resets, 1);
    EXPECT_EQ(inp(0x64), 0);
    outp(0x64, 0xfe);
    EXPECT_EQ(resets, 2);
}

TEST_F(LegacyDevicesTest, NothingElseIsThere) {
    EXPECT_EQ(inp<std::uint32_t>(0xcf8), 0xffffffffu) << "no PCI; not the reset port either";
    EXPECT_EQ(inp(0x2f8), 0xff);
    outp(0x80, 1);
    EXPECT_EQ(devices->ports().unclaimed_accesses(), 2u);
}

TEST_F(LegacyDevicesTest, ThreadsMayMeet) {
    std::jthread writer{[&] {
        for (int i = 0; i < 2000; ++i) outp(0x3f8, 'x');
    }};
    std::jthread typist{[&] {
        for (int i = 0; i < 2000; ++i) devices->console_input("y");
    }};
    std::size_t read = 0;
    while (read < 2000)
        if ((inp(0x3fd) & 1) != 0) read += inp(0x3f8) == 'y' ? 1 : 0;
    writer.join();
    EXPECT_EQ(console.size(), 2000u);
}

}  // namespace
}  // namespace vsmp
