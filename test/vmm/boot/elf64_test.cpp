#include "vmm/boot/elf64.hpp"

#include "test/vmm/boot/images.hpp"

namespace vsmp::boot {
namespace {

Bytes good() {
    return make_elf(0x200010,
                    {{.physical = 0x400000, .contents = filled(10, 2), .memory_bytes = 100},
                     {.physical = 0x200000, .contents = filled(32, 1), .memory_bytes = 32}});
}

std::string error_of(const Bytes& file) {
    const auto elf = parse_elf64(file);
    return elf ? "no error" : elf.error().message;
}

TEST(Elf64, SegmentsComeInOrderOfAddress) {
    const Bytes file = good();
    const auto elf = parse_elf64(file);
    ASSERT_TRUE(elf);
    EXPECT_EQ(elf->entry, 0x200010u);
    ASSERT_EQ(elf->segments.size(), 2u);
    EXPECT_EQ(elf->segments[0].at, Gpa{0x200000});
    EXPECT_EQ(elf->segments[1].contents.size(), 10u);
    EXPECT_EQ(elf->segments[1].memory_bytes, 100u);
    EXPECT_EQ(elf->segments[1].contents[0], std::byte{2});
}

TEST(Elf64, NotesAreFound) {
    Bytes note(12 + 8 + 4);
    poke<std::uint32_t>(note, 0, 5);
    poke<std::uint32_t>(note, 4, 4);
    poke<std::uint32_t>(note, 8, 1);
    poke<std::uint32_t>(note, 12, 0x706d7376);
    poke<std::uint32_t>(note, 20, 42);
    const Bytes file = make_elf(
        0x200000,
        {{.physical = 0x200000, .contents = {}, .memory_bytes = 1}, {.type = 4, .contents = note}});
    const auto elf = parse_elf64(file);
    ASSERT_TRUE(elf);
    ASSERT_EQ(elf->notes.size(), 1u);
    EXPECT_EQ(elf->notes[0].name, "vsmp");
    EXPECT_EQ(peek<std::uint32_t>(elf->notes[0].descriptor, 0), 42u);
}

TEST(Elf64, EveryCutIsAnErrorAndNoCrash) {
    const Bytes file = good();
    for (std::size_t size = 0; size < file.size(); ++size)
        EXPECT_FALSE(parse_elf64(ByteView{file}.first(size))) << size;
}

TEST(Elf64, BadFilesGiveOneClearLine) {
    Bytes file = good();
    poke<std::uint8_t>(file, 4, 1);
    EXPECT_EQ(error_of(file), "ELF file: not for x86-64");
    file = good();
    poke<std::uint16_t>(file, 16, 3);
    EXPECT_EQ(error_of(file), "ELF file: not a static executable (ET_EXEC)");
    file = good();
    poke<std::uint64_t>(file, 32, ~0ull);
    EXPECT_EQ(error_of(file), "ELF file: program headers cut off");
    file = good();
    poke<std::uint64_t>(file, 64 + 8, ~0ull);
    EXPECT_NE(error_of(file).find("lies outside the file"), std::string::npos);
    file = good();
    poke<std::uint64_t>(file, 64 + 40, 5);
    EXPECT_EQ(error_of(file), "ELF file: a segment is larger in the file than in memory");
    file = good();
    poke<std::uint64_t>(file, 64 + 24, 0x20001f);
    EXPECT_EQ(error_of(file), "ELF file: two segments overlap at 0x20001f");
    file = good();
    poke<std::uint64_t>(file, 24, 0x200020);
    EXPECT_EQ(error_of(file), "ELF file: entry point 0x200020 is in no segment");
    file = good();
    poke<std::uint64_t>(file, 64 + 24, ~0ull - 10);
    EXPECT_NE(error_of(file).find("physical address"), std::string::npos);
    EXPECT_EQ(error_of(make_elf(0, {{.type = 2, .contents = {}}})), "ELF file: nothing to load");
}

}  // namespace
}  // namespace vsmp::boot
