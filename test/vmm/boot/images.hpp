// Made-up kernels and programs, and a guest memory to load them into.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "vmm/boot/boot_image.hpp"
#include "vmm/memory_layout.hpp"

namespace vsmp::boot {

using Bytes = std::vector<std::byte>;

inline constexpr std::uint64_t kMiB = 1ull << 20;

inline MemoryLayout memory_of(std::vector<std::uint64_t> cells) {
    return *MemoryLayout::create(cells);
}

template <class T>
void poke(Bytes& bytes, std::size_t offset, std::type_identity_t<T> value) {
    ByteWriter{std::span{bytes}.subspan(offset)}.write(value);
}

template <class T>
T peek(ByteView bytes, std::size_t offset) {
    return ByteReader{bytes.subspan(offset)}.read<T>();
}

// A bzImage of one setup sector and 8 KiB of kernel.
inline Bytes make_bzimage() {
    constexpr std::size_t kSetup = 1024, kKernel = 8192;
    Bytes file(kSetup + kKernel);
    poke<std::uint8_t>(file, 0x1f1, 1);
    poke<std::uint32_t>(file, 0x1f4, kKernel / 16);
    poke<std::uint16_t>(file, 0x1fe, 0xaa55);
    poke<std::uint8_t>(file, 0x201, 0x6a);
    poke<std::uint32_t>(file, 0x202, 0x53726448);
    poke<std::uint16_t>(file, 0x206, 0x020f);
    poke<std::uint8_t>(file, 0x211, 1);
    poke<std::uint32_t>(file, 0x22c, 0x7fffffff);
    poke<std::uint32_t>(file, 0x230, 0x200000);
    poke<std::uint8_t>(file, 0x234, 1);
    poke<std::uint16_t>(file, 0x236, 1);
    poke<std::uint32_t>(file, 0x238, 2047);
    poke<std::uint64_t>(file, 0x258, 16 * kMiB);
    poke<std::uint32_t>(file, 0x260, 32 * kMiB);
    poke<std::uint8_t>(file, kSetup, 0xee);
    return file;
}

struct ElfPart {
    std::uint32_t type = 1;
    std::uint64_t physical = 0;
    Bytes contents;
    std::uint64_t memory_bytes = 0;
};

inline Bytes make_elf(std::uint64_t entry, const std::vector<ElfPart>& parts) {
    constexpr std::size_t kHeader = 64, kProgramHeader = 56;
    Bytes file(kHeader + kProgramHeader * parts.size());
    poke<std::uint32_t>(file, 0, 0x464c457f);
    poke<std::uint8_t>(file, 4, 2);
    poke<std::uint8_t>(file, 5, 1);
    poke<std::uint16_t>(file, 16, 2);
    poke<std::uint16_t>(file, 18, 62);
    poke<std::uint64_t>(file, 24, entry);
    poke<std::uint64_t>(file, 32, kHeader);
    poke<std::uint16_t>(file, 54, kProgramHeader);
    poke<std::uint16_t>(file, 56, static_cast<std::uint16_t>(parts.size()));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::size_t at = kHeader + i * kProgramHeader;
        poke<std::uint32_t>(file, at, parts[i].type);
        poke<std::uint64_t>(file, at + 8, file.size());
        poke<std::uint64_t>(file, at + 24, parts[i].physical);
        poke<std::uint64_t>(file, at + 32, parts[i].contents.size());
        poke<std::uint64_t>(file, at + 40, parts[i].memory_bytes);
        file.insert(file.end(), parts[i].contents.begin(), parts[i].contents.end());
    }
    return file;
}

inline Bytes filled(std::size_t size, unsigned value) {
    return Bytes(size, std::byte(value));
}

// Guest memory after the loader's writes, as far as somebody wrote.
inline ByteView written_at(const BootImage& image, std::uint64_t gpa) {
    for (const GuestWrite& write : image.writes) {
        const std::uint64_t begin = write.at.value();
        if (gpa >= begin && gpa - begin < write.bytes.size())
            return write.bytes.subspan(gpa - begin);
    }
    return {};
}

inline void expect_sound(const BootImage& image, const MemoryLayout& memory) {
    auto writes = image.writes;
    std::ranges::sort(writes, {}, &GuestWrite::at);
    std::uint64_t end = 0;
    for (const GuestWrite& write : writes) {
        EXPECT_GE(write.at.value(), end) << "writes overlap";
        end = write.at.value() + write.bytes.size();
        EXPECT_LE(end, memory.slots().front().bytes);
    }
}

}  // namespace vsmp::boot
