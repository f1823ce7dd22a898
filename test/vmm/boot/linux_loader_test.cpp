#include "vmm/boot/linux_loader.hpp"

#include "test/vmm/boot/images.hpp"

namespace vsmp::boot {
namespace {

constexpr std::uint64_t kZeroPage = 0x7000, kCommandLine = 0x20000;

std::string command_line_of(const BootImage& image) {
    const ByteView bytes = written_at(image, kCommandLine);
    return {reinterpret_cast<const char*>(bytes.data())};
}

class LinuxLoader : public testing::Test {
  protected:
    Result<BootImage> load() { return load_linux(boot); }
    std::string error() {
        const auto image = load();
        return image ? "no error" : image.error().message;
    }
    std::uint32_t zero_page32(const BootImage& image, std::size_t offset) {
        return peek<std::uint32_t>(written_at(image, kZeroPage), offset);
    }

    MemoryLayout memory = memory_of({128 * kMiB, 128 * kMiB});
    Bytes kernel = make_bzimage();
    Bytes initrd = filled(3 * kMiB + 5, 0x77);
    LinuxBoot boot{.kernel = kernel,
                   .initrd = initrd,
                   .command_line = "console=ttyS0",
                   .memory = memory,
                   .acpi_rsdp = Gpa{0xe0000}};
};

TEST_F(LinuxLoader, PlacesTheKernelAtItsPreferredAddress) {
    const auto image = load();
    ASSERT_TRUE(image);
    expect_sound(*image, memory);
    EXPECT_EQ(written_at(*image, 16 * kMiB).size(), 8192u);
    EXPECT_EQ(written_at(*image, 16 * kMiB)[0], std::byte{0xee});
    ASSERT_EQ(image->start.size(), 1u);
    EXPECT_EQ(image->start[0].rip, 16 * kMiB + 0x200);
    EXPECT_EQ(image->start[0].rsi, kZeroPage);
}

TEST_F(LinuxLoader, FillsTheZeroPage) {
    const auto image = load();
    ASSERT_TRUE(image);
    const ByteView page = written_at(*image, kZeroPage);
    EXPECT_EQ(page.size(), 4096u);
    EXPECT_EQ(peek<std::uint32_t>(page, 0x202), 0x53726448u) << "the kernel's header";
    EXPECT_EQ(peek<std::uint64_t>(page, 0x258), 16 * kMiB);
    EXPECT_EQ(peek<std::uint64_t>(page, 0x070), 0xe0000u);
    EXPECT_EQ(peek<std::uint8_t>(page, 0x210), 0xff);
    EXPECT_EQ(peek<std::uint32_t>(page, 0x228), kCommandLine);
    EXPECT_EQ(peek<std::uint8_t>(page, 0x1e8), 3);
    EXPECT_EQ(peek<std::uint64_t>(page, 0x2d0 + 20), 0xa0000u);
    EXPECT_EQ(peek<std::uint32_t>(page, 0x2d0 + 36), 2u) << "reserved";
    EXPECT_EQ(command_line_of(*image), "console=ttyS0");
}

TEST_F(LinuxLoader, TheInitrdLiesHighInTheFirstCell) {
    const auto image = load();
    ASSERT_TRUE(image);
    const std::uint64_t at = zero_page32(*image, 0x218);
    EXPECT_EQ(at, 124 * kMiB + 0xff000) << "page aligned, below 128 MiB";
    EXPECT_EQ(zero_page32(*image, 0x21c), initrd.size());
    EXPECT_EQ(written_at(*image, at).size(), initrd.size());
}

TEST_F(LinuxLoader, TheInitrdGoesElsewhereWhenTheFirstCellIsFull) {
    initrd = filled(100 * kMiB, 1);
    boot.initrd = initrd;
    const auto image = load();
    ASSERT_TRUE(image);
    EXPECT_EQ(zero_page32(*image, 0x218), 156 * kMiB);
}

TEST_F(LinuxLoader, TheKernelsInitrdLimitIsKept) {
    poke<std::uint32_t>(kernel, 0x22c, 100 * kMiB - 1);
    const auto image = load();
    ASSERT_TRUE(image);
    EXPECT_LE(zero_page32(*image, 0x218) + initrd.size(), 100 * kMiB);
}

TEST_F(LinuxLoader, ASmallGuestMovesARelocatableKernelDown) {
    poke<std::uint64_t>(kernel, 0x258, 250 * kMiB);
    const auto image = load();
    ASSERT_TRUE(image);
    EXPECT_EQ(image->start[0].rip, 2 * kMiB + 0x200);
    poke<std::uint8_t>(kernel, 0x234, 0);
    EXPECT_EQ(error(), "guest memory too small: the kernel needs 32 MiB at 250 MiB");
}

TEST_F(LinuxLoader, TellsTheTscFrequencyUnlessTheUserDid) {
    boot.tsc_khz = 2'500'000;
    EXPECT_EQ(command_line_of(*load()), "console=ttyS0 tsc_early_khz=2500000");
    boot.command_line = "tsc_early_khz=1 quiet";
    EXPECT_EQ(command_line_of(*load()), "tsc_early_khz=1 quiet");
    boot.command_line = "";
    EXPECT_EQ(command_line_of(*load()), "tsc_early_khz=2500000");
    boot.command_line = "nottsc_early_khz=1";
    EXPECT_EQ(command_line_of(*load()), "nottsc_early_khz=1 tsc_early_khz=2500000");
}

TEST_F(LinuxLoader, StartsInLongModeWithFlatSegments) {
    const auto image = load();
    ASSERT_TRUE(image);
    const BootState& state = image->start[0];
    EXPECT_EQ(state.cr0 & 0x80000001, 0x80000001);
    EXPECT_EQ(state.efer & 0x500, 0x500u);
    EXPECT_NE(state.cr4 & 0x20, 0u);
    EXPECT_EQ(state.rflags, 2u) << "interrupts off";
    EXPECT_EQ(state.cs.selector, 0x10);
    EXPECT_EQ(state.cs.rights, 0xa09b);
    EXPECT_EQ(state.ss.selector, 0x18);
    const ByteView gdt = written_at(*image, state.gdt.base);
    EXPECT_EQ(state.gdt.limit, 31);
    EXPECT_EQ(peek<std::uint64_t>(gdt, 0x10), 0x00af9b000000ffffu);
    EXPECT_EQ(peek<std::uint64_t>(gdt, 0x18), 0x00cf93000000ffffu);
    EXPECT_EQ(peek<std::uint64_t>(written_at(*image, state.cr3), 0) & 0x21, 0x21u);
}

TEST_F(LinuxLoader, ElfKernelsStartAtTheirEntry) {
    const Bytes elf = make_elf(
        0x1000100,
        {{.physical = 0x1000000, .contents = filled(0x1000, 9), .memory_bytes = 0x400000}});
    boot.kernel = elf;
    const auto image = load();
    ASSERT_TRUE(image);
    expect_sound(*image, memory);
    EXPECT_EQ(image->start[0].rip, 0x1000100u);
    EXPECT_EQ(zero_page32(*image, 0x202), 0x53726448u);
    EXPECT_EQ(written_at(*image, 0x1000000).size(), 0x1000u);
}

TEST_F(LinuxLoader, ElfKernelsMustLieInRam) {
    for (std::uint64_t at : {std::uint64_t{0x8000}, 255 * kMiB}) {
        const Bytes elf =
            make_elf(at, {{.physical = at, .contents = filled(16, 1), .memory_bytes = 2 * kMiB}});
        boot.kernel = elf;
        EXPECT_NE(error().find("is not in guest RAM between 1 MiB and 256 MiB"), std::string::npos);
    }
}

TEST_F(LinuxLoader, WhatIsNoKernelIsRefusedInOneLine) {
    auto with = [&](auto&& change) {
        kernel = make_bzimage();
        change();
        boot.kernel = kernel;
        const std::string message = error();
        EXPECT_EQ(message.find('\n'), std::string::npos);
        return message;
    };
    EXPECT_EQ(with([&] { kernel.clear(); }), "not a Linux kernel: only 0 bytes");
    EXPECT_EQ(with([&] { kernel = filled(5000, 'x'); }),
              "not a Linux kernel: no boot flag 0xaa55 at 0x1fe");
    EXPECT_EQ(with([&] { poke<std::uint32_t>(kernel, 0x202, 0); }),
              "not a Linux kernel: no HdrS magic at 0x202");
    EXPECT_EQ(with([&] { poke<std::uint16_t>(kernel, 0x206, 0x020a); }),
              "Linux kernel too old: boot protocol 2.10, need 2.12");
    EXPECT_EQ(with([&] { poke<std::uint16_t>(kernel, 0x236, 0); }),
              "Linux kernel has no 64-bit entry point (XLF_KERNEL_64): not an x86-64 one");
    EXPECT_EQ(with([&] { kernel.resize(5000); }),
              "Linux kernel cut off: 5000 bytes, its header tells 9216");
    EXPECT_EQ(with([&] { poke<std::uint32_t>(kernel, 0x230, 3); }),
              "Linux kernel header: alignment 3 is not a power of two");
    EXPECT_EQ(with([&] { poke<std::uint32_t>(kernel, 0x260, 500 * kMiB); }),
              "guest memory too small: the kernel needs 500 MiB at 16 MiB");
}

TEST_F(LinuxLoader, InitrdAndCommandLineMustFit) {
    initrd = filled(220 * kMiB, 1);
    boot.initrd = initrd;
    EXPECT_EQ(error(),
              "guest memory too small: the initrd of 221 MiB does not fit between the "
              "kernel's end at 48 MiB and 256 MiB");
    boot.initrd = {};
    boot.command_line = std::string(2048, 'a');
    EXPECT_EQ(error(), "kernel command line has 2048 bytes, this kernel takes 2047");
    boot.command_line = std::string("a\0b", 3);
    EXPECT_EQ(error(), "kernel command line has a zero byte");
}

}  // namespace
}  // namespace vsmp::boot
