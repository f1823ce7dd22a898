#include "vmm/boot/micro.hpp"

#include "test/vmm/boot/images.hpp"

namespace vsmp::boot {
namespace {

Bytes stub_note(std::uint64_t base, std::uint64_t stride) {
    Bytes note(12 + 8 + 16);
    poke<std::uint32_t>(note, 0, 5);
    poke<std::uint32_t>(note, 4, 16);
    poke<std::uint32_t>(note, 8, 1);
    poke<std::uint32_t>(note, 12, 0x706d7376);
    poke<std::uint64_t>(note, 20, base);
    poke<std::uint64_t>(note, 28, stride);
    return note;
}

Bytes program(std::uint64_t at = 0x200000) {
    return make_elf(at, {{.physical = at, .contents = filled(64, 0x90), .memory_bytes = 0x3000},
                         {.type = 4, .contents = stub_note(0x201000, 16)}});
}

class Micro : public testing::Test {
  protected:
    std::string error(const Bytes& file, std::uint16_t vcpus = 1) {
        const auto image = load_micro({.program = file, .vcpu_count = vcpus, .memory = memory});
        return image ? "no error" : image.error().message;
    }
    MemoryLayout memory = memory_of({8 * kMiB, 8 * kMiB});
};

TEST_F(Micro, EveryVcpuStartsAtCpl3OnItsOwnStack) {
    const Bytes file = program();
    const auto image = load_micro(
        {.program = file, .vcpu_count = 64, .memory = memory, .arguments = {7, 8}, .xcr0 = 7});
    ASSERT_TRUE(image);
    expect_sound(*image, memory);
    ASSERT_EQ(image->start.size(), 64u);
    for (unsigned i = 0; i < 64; ++i) {
        const BootState& state = image->start[i];
        EXPECT_EQ(state.rip, 0x200000u);
        EXPECT_EQ(state.rdi, i);
        EXPECT_EQ(state.rsi, 64u);
        EXPECT_EQ(state.rdx, 16 * kMiB);
        EXPECT_EQ(state.cs.rights >> 5 & 3, 3);
        EXPECT_EQ(state.ss.rights >> 5 & 3, 3);
        EXPECT_EQ(state.rflags, 0x3202u) << "interrupts on, IOPL 3";
        EXPECT_EQ(state.xcr0, 7u);
        EXPECT_NE(state.cr4 & 0x40000, 0u);
        EXPECT_EQ(state.rsp % 16, 8u);
        EXPECT_LT(state.rsp, 0x200000u);
        if (i > 0) {
            EXPECT_GE(state.rsp - image->start[i - 1].rsp, 0x4000u);
        }
    }
    EXPECT_EQ(peek<std::uint64_t>(written_at(*image, image->start[0].rcx), 8), 8u);
    EXPECT_EQ(peek<std::uint64_t>(written_at(*image, image->start[0].rcx), 128), 7u) << "XCR0";
}

TEST_F(Micro, EachTssHasAStackWithTheVcpusNumberAboveTheFrame) {
    const Bytes file = program();
    const auto image = load_micro({.program = file, .vcpu_count = 3, .memory = memory});
    ASSERT_TRUE(image);
    const BootState& state = image->start[2];
    const ByteView tss = written_at(*image, state.tr.base);
    const auto rsp0 = peek<std::uint64_t>(tss, 4);
    EXPECT_EQ(rsp0 % 16, 0u);
    EXPECT_EQ(peek<std::uint64_t>(written_at(*image, rsp0), 0), 2u) << "[rsp + 40] in a stub";
    const auto bitmap = peek<std::uint16_t>(tss, 102);
    EXPECT_EQ(tss[bitmap + kReportPort / 8u], std::byte{0}) << "port open to CPL 3";
    EXPECT_EQ(tss[state.tr.limit], std::byte{0xff});
    const ByteView descriptor = written_at(*image, state.gdt.base).subspan(state.tr.selector);
    EXPECT_EQ(peek<std::uint16_t>(descriptor, 0), state.tr.limit);
    EXPECT_EQ(peek<std::uint16_t>(descriptor, 2), state.tr.base & 0xffff);
    EXPECT_EQ(descriptor[5], std::byte{0x8b}) << "busy already";
    EXPECT_EQ(state.gdt.limit, state.tr.selector + 15);
}

TEST_F(Micro, GatesLeadToTheStubsAndOnlyBreakpointIsOpenToCpl3) {
    const Bytes file = program();
    const auto image = load_micro({.program = file, .memory = memory});
    ASSERT_TRUE(image);
    const ByteView idt = written_at(*image, image->start[0].idt.base);
    for (unsigned vector : {0u, 3u, 0x40u, 255u}) {
        const ByteView gate = idt.subspan(vector * 16);
        EXPECT_EQ(peek<std::uint16_t>(gate, 0) | peek<std::uint16_t>(gate, 6) << 16,
                  static_cast<int>(0x201000 + vector * 16));
        EXPECT_EQ(gate[5], vector == 3 ? std::byte{0xee} : std::byte{0x8e});
    }
}

TEST_F(Micro, OtherFilesAreRefused) {
    EXPECT_TRUE(is_micro_program(program()));
    EXPECT_FALSE(is_micro_program(make_bzimage()));
    const Bytes plain =
        make_elf(0x200000, {{.physical = 0x200000, .contents = {}, .memory_bytes = 1}});
    EXPECT_FALSE(is_micro_program(plain));
    EXPECT_EQ(error(plain), "micro-guest: the file has no note \"vsmp\" of type 1");
    EXPECT_EQ(error(program(0x1ff000)),
              "micro-guest: segment at 0x1ff000, 0x3000 bytes, is not in guest RAM between 2 MiB "
              "and 16 MiB");
    EXPECT_NE(error(program(16 * kMiB)), "no error");
    EXPECT_EQ(error(program(), 65), "micro-guest: 65 vCPUs, can have 1 to 64");
    EXPECT_EQ(error(program(), 0), "micro-guest: 0 vCPUs, can have 1 to 64");
}

}  // namespace
}  // namespace vsmp::boot
