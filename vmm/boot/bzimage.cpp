#include "vmm/boot/bzimage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace vsmp::boot {
namespace {

constexpr std::size_t kSectorBytes = 512;
constexpr std::size_t kHeaderBegin = 0x1f1, kHeaderEndMax = 0x290;
constexpr std::uint16_t kBootFlag = 0xaa55;
constexpr std::uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
constexpr std::uint16_t kOldestProtocol = 0x020c;   // the first with xloadflags
constexpr std::uint16_t kKernel64 = 1u << 0;        // XLF_KERNEL_64
constexpr std::uint8_t kLoadedHigh = 1u << 0;

// A field at its offset in the file; 0 beyond the end, which the checks below refuse.
template <class T>
T field(ByteView file, std::size_t offset) {
    if (offset > file.size()) return 0;
    return ByteReader{file.subspan(offset)}.read<T>();
}

Result<> check_header(ByteView file) {
    if (file.size() < kHeaderEndMax)
        return Error{fmt::format("not a Linux kernel: only {} bytes", file.size())};
    if (field<std::uint16_t>(file, 0x1fe) != kBootFlag)
        return Error{"not a Linux kernel: no boot flag 0xaa55 at 0x1fe"};
    if (field<std::uint32_t>(file, 0x202) != kHeaderMagic)
        return Error{"not a Linux kernel: no HdrS magic at 0x202"};
    const auto protocol = field<std::uint16_t>(file, 0x206);
    if (protocol < kOldestProtocol)
        return Error{fmt::format("Linux kernel too old: boot protocol {}.{:02}, need 2.12",
                                 protocol >> 8, protocol & 0xff)};
    if ((field<std::uint16_t>(file, 0x236) & kKernel64) == 0)
        return Error{"Linux kernel has no 64-bit entry point (XLF_KERNEL_64): not an x86-64 one"};
    if ((field<std::uint8_t>(file, 0x211) & kLoadedHigh) == 0)
        return Error{"Linux kernel is a zImage, need a bzImage"};
    return {};
}

Result<ByteView> protected_mode_part(ByteView file) {
    const auto declared_sectors = field<std::uint8_t>(file, 0x1f1);
    const std::size_t sectors = declared_sectors == 0 ? 4 : declared_sectors;
    const std::size_t begin = (sectors + 1) * kSectorBytes;
    const std::uint64_t bytes = std::uint64_t{field<std::uint32_t>(file, 0x1f4)} * 16;
    if (bytes == 0) return Error{"not a Linux kernel: it has no protected-mode part"};
    // The size counts units of 16 bytes; the last may be cut short.
    if (file.size() < begin || bytes > file.size() - begin + 15)
        return Error{fmt::format("Linux kernel cut off: {} bytes, its header tells {}", file.size(),
                                 begin + bytes)};
    return file.subspan(begin, std::min<std::uint64_t>(bytes, file.size() - begin));
}

}  // namespace

Result<BzImage> parse_bzimage(ByteView file) {
    VSMP_TRY(check_header(file));
    BzImage image;
    VSMP_TRY_ASSIGN(image.protected_mode, protected_mode_part(file));
    const std::size_t header_end = 0x202 + std::size_t{field<std::uint8_t>(file, 0x201)};
    image.setup_header =
        file.subspan(kHeaderBegin, std::min(header_end, kHeaderEndMax) - kHeaderBegin);
    image.preferred = Gpa{field<std::uint64_t>(file, 0x258)};
    image.alignment = field<std::uint32_t>(file, 0x230);
    image.relocatable = field<std::uint8_t>(file, 0x234) != 0 ? Relocatable::yes : Relocatable::no;
    image.init_bytes =
        std::max<std::uint64_t>(field<std::uint32_t>(file, 0x260), image.protected_mode.size());
    image.command_line_max = field<std::uint32_t>(file, 0x238);
    image.initrd_limit = std::uint64_t{field<std::uint32_t>(file, 0x22c)} + 1;
    if (!std::has_single_bit(image.alignment))
        return Error{fmt::format("Linux kernel header: alignment {} is not a power of two",
                                 image.alignment)};
    return image;
}

}  // namespace vsmp::boot
