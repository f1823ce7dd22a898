#include "vmm/acpi/aml.hpp"

#include <gtest/gtest.h>

namespace vsmp::acpi::aml {
namespace {

Aml raw(std::initializer_list<unsigned> bytes) {
    Aml out;
    for (unsigned b : bytes) out.push_back(std::byte(b));
    return out;
}

TEST(Aml, IntegersTakeTheShortestForm) {
    EXPECT_EQ(integer(0), raw({0}));
    EXPECT_EQ(integer(1), raw({1}));
    EXPECT_EQ(integer(2), raw({0x0a, 2}));
    EXPECT_EQ(integer(0x1234), raw({0x0b, 0x34, 0x12}));
    EXPECT_EQ(integer(0x12345678), raw({0x0c, 0x78, 0x56, 0x34, 0x12}));
    EXPECT_EQ(integer(0x123456789), raw({0x0e, 0x89, 0x67, 0x45, 0x23, 1, 0, 0, 0}));
}

TEST(Aml, EisaIdOfASerialPort) {
    EXPECT_EQ(eisa_id("PNP0501"), raw({0x0c, 0x41, 0xd0, 0x05, 0x01}));
}

TEST(Aml, PackageLengthCountsItself) {
    // Name and one byte: 1 (length) + 4 + 1.
    EXPECT_EQ(scope("_SB_", raw({0xaa})), raw({0x10, 6, '_', 'S', 'B', '_', 0xaa}));
    // 58 bytes of content are the most that one length byte takes: 1 + 4 + 58 = 63.
    EXPECT_EQ(scope("_SB_", Aml(58))[1], std::byte{63});
    // One more needs two: 2 + 4 + 59 = 65 = 0x41: low nibble 1, rest 4, one byte follows.
    const Aml longer = scope("_SB_", Aml(59));
    EXPECT_EQ(longer[1], std::byte{0x41});
    EXPECT_EQ(longer[2], std::byte{0x04});
    // Three: 3 + 4 + 5000 = 5007 = 0x138f.
    const Aml longest = scope("_SB_", Aml(5000));
    EXPECT_EQ(longest[1], std::byte{0x8f});
    EXPECT_EQ(longest[2], std::byte{0x38});
    EXPECT_EQ(longest[3], std::byte{0x01});
}

TEST(AmlDeathTest, NamesHaveFourCharacters) {
    EXPECT_DEATH(name("_S5", integer(0)), "four");
}

}  // namespace
}  // namespace vsmp::acpi::aml
