#include "vmm/devices/pic_stub.hpp"

#include <gtest/gtest.h>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

// Linux's probe_8259A().
TEST(PicStub, TheMaskReadsBack) {
    PicStub pic;
    out(pic, 1, 0xfb);
    EXPECT_EQ(in(pic, 1), 0xfb);
    EXPECT_EQ(in(pic, 0), 0) << "nothing requested";
}

TEST(PicStub, InitialisationWordsAreNotTheMask) {
    PicStub pic;
    out(pic, 0, 0x11);  // ICW1: cascade, ICW4 follows
    for (std::uint8_t word : std::initializer_list<std::uint8_t>{0x30, 0x04, 0x01})
        out(pic, 1, word);
    EXPECT_EQ(in(pic, 1), 0) << "ICW1 clears the mask";
    out(pic, 1, 0xfe);
    EXPECT_EQ(in(pic, 1), 0xfe);
    out(pic, 0, 0x20);  // OCW2: EOI
    out(pic, 0, 0x0b);  // OCW3: read the in-service register
    EXPECT_EQ(in(pic, 0), 0);
    EXPECT_EQ(in(pic, 1), 0xfe);
}

TEST(ElcrStub, ReadsBack) {
    ElcrStub elcr;
    out<std::uint16_t>(elcr, 0, 0x0e20);
    EXPECT_EQ(in<std::uint16_t>(elcr, 0), 0x0e20);
}

}  // namespace
}  // namespace vsmp
