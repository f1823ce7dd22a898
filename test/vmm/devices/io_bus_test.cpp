#include "vmm/devices/io_bus.hpp"

#include <gtest/gtest.h>

#include "vmm/devices/byte_device.hpp"

namespace vsmp {
namespace {

class Memory final : public ByteDevice {
  public:
    std::array<std::uint8_t, 16> cells{};

  protected:
    std::uint8_t read_byte(std::uint64_t offset) override { return cells.at(offset); }
    void write_byte(std::uint64_t offset, std::uint8_t value) override { cells.at(offset) = value; }
};

class IoBusTest : public testing::Test {
  protected:
    std::uint32_t read32(std::uint64_t address) {
        std::array<std::byte, 4> raw{};
        bus.read(address, raw);
        return ByteReader{raw}.read<std::uint32_t>();
    }
    void write32(std::uint64_t address, std::uint32_t value) {
        std::array<std::byte, 4> raw{};
        ByteWriter{raw}.write(value);
        bus.write(address, raw);
    }
    std::mutex mutex;
    IoBus bus{mutex};
    Memory device, other;
};

TEST_F(IoBusTest, AddressesBecomeOffsets) {
    ASSERT_TRUE(bus.claim({0x100, 16}, device));
    write32(0x10c, 0x11223344);
    EXPECT_EQ(device.cells[12], 0x44);
    EXPECT_EQ(read32(0x10c), 0x11223344u);
    EXPECT_EQ(bus.unclaimed_accesses(), 0u);
}

TEST_F(IoBusTest, UnclaimedReadsAreAllOnesAndWritesAreLost) {
    ASSERT_TRUE(bus.claim({0x100, 16}, device));
    EXPECT_EQ(read32(0xfc), 0xffffffffu);
    EXPECT_EQ(read32(0x110), 0xffffffffu);
    EXPECT_EQ(read32(0x10d), 0xffffffffu) << "reaches past the end";
    write32(0xfe, 0);
    write32(0x10e, 0);
    EXPECT_EQ(device.cells, (std::array<std::uint8_t, 16>{}));
    EXPECT_EQ(bus.unclaimed_accesses(), 5u);
}

TEST_F(IoBusTest, OverlapsAreRefusedAndNamed) {
    ASSERT_TRUE(bus.claim({0x100, 16}, device));
    for (IoRange range : {IoRange{0x100, 16}, IoRange{0xf8, 9}, IoRange{0x10f, 1},
                          IoRange{0x104, 2}, IoRange{0x80, 0x200}}) {
        const auto claimed = bus.claim(range, other);
        ASSERT_FALSE(claimed);
        EXPECT_NE(claimed.error().message.find("overlaps 0x100+0x10"), std::string::npos);
    }
    EXPECT_TRUE(bus.claim({0xf8, 8}, other));
    EXPECT_TRUE(bus.claim({0x110, 16}, other));
}

}  // namespace
}  // namespace vsmp
