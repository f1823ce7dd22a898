#include "proto/bytes.hpp"

#include <gtest/gtest.h>

namespace vsmp {
namespace {

TEST(Bytes, RoundTripIsLittleEndian) {
    std::array<std::byte, 15> buffer{};
    ByteWriter writer{buffer};
    writer.write(std::uint8_t{0x11});
    writer.write(std::uint16_t{0x2233});
    writer.write(std::uint32_t{0x44556677});
    writer.write(std::uint64_t{0x8899aabbccddeeff});
    EXPECT_EQ(buffer[1], std::byte{0x33});
    ByteReader reader{writer.written()};
    EXPECT_EQ(reader.read<std::uint8_t>(), 0x11);
    EXPECT_EQ(reader.read<std::uint16_t>(), 0x2233);
    EXPECT_EQ(reader.read<std::uint32_t>(), 0x44556677u);
    EXPECT_EQ(reader.read<std::uint64_t>(), 0x8899aabbccddeeffu);
    EXPECT_TRUE(reader.ok());
    EXPECT_TRUE(reader.at_end());
}

TEST(Bytes, ReadingPastTheEndIsNotOkAndStaysNotOk) {
    std::array<std::byte, 3> buffer{};
    ByteReader reader{buffer};
    EXPECT_EQ(reader.read<std::uint32_t>(), 0u);
    EXPECT_FALSE(reader.ok());
    reader.read<std::uint8_t>();
    EXPECT_FALSE(reader.ok());
}

TEST(BytesDeathTest, WritingPastTheEndAborts) {
    std::array<std::byte, 1> buffer{};
    ByteWriter writer{buffer};
    EXPECT_DEATH(writer.write(std::uint16_t{1}), "encode buffer too small");
}

}  // namespace
}  // namespace vsmp
