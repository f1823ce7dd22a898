#include "vmm/boot/linux_loader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/elf64.hpp"
#include "vmm/boot/identity_map.hpp"
#include "vmm/boot/segments.hpp"

namespace vsmp::boot {
namespace {

constexpr Gpa kGdt{0x1000}, kZeroPage{0x7000}, kStackTop{0x8ff0}, kPageTables{0x9000};
constexpr Gpa kCommandLine{0x20000};
constexpr std::uint64_t kHighMemory = 0x100000;  // below it everything is the loader's
constexpr std::uint16_t kCodeSelector = 0x10, kDataSelector = 0x18;  // __BOOT_CS, __BOOT_DS
constexpr std::uint64_t kApicBaseOfBoot = 0xfee00900;                // enabled, boot processor
// ELF kernels have no header that would tell; COMMAND_LINE_SIZE of x86 less the zero.
constexpr std::uint64_t kElfCommandLineMax = 2047;
constexpr std::uint64_t kCommandLineRoom = 0x10000 - 1;
constexpr std::uint64_t kElfInitrdLimit = 0x8000'0000;

// Where a kernel was put, whatever its format.
struct LoadedKernel {
    std::uint64_t entry = 0;
    std::uint64_t end = 0;  // of the memory it needs before it looks at the memory map
    std::uint64_t command_line_max = 0;
    std::uint64_t initrd_limit = 0;
    ByteView setup_header;  // empty: none in the file
};

std::uint64_t low_ram_end(const MemoryLayout& memory) {
    return memory.slots().front().bytes;
}

bool fits_low_ram(const MemoryLayout& memory, std::uint64_t begin, std::uint64_t bytes) {
    return begin >= kHighMemory && begin <= low_ram_end(memory) &&
           bytes <= low_ram_end(memory) - begin;
}

Result<std::uint64_t> place_bzimage(const BzImage& kernel, const MemoryLayout& memory) {
    const std::uint64_t preferred = kernel.preferred.value();
    if (fits_low_ram(memory, preferred, kernel.init_bytes)) return preferred;
    const std::uint64_t lowest = (kHighMemory + kernel.alignment - 1) & ~(kernel.alignment - 1);
    if (kernel.relocatable == Relocatable::yes && fits_low_ram(memory, lowest, kernel.init_bytes))
        return lowest;
    return Error{fmt::format("guest memory too small: the kernel needs {} MiB at {} MiB",
                             kernel.init_bytes >> 20, preferred >> 20)};
}

Result<LoadedKernel> add_bzimage(BootImage& image, const LinuxBoot& boot) {
    VSMP_TRY_ASSIGN(const BzImage kernel, parse_bzimage(boot.kernel));
    VSMP_TRY_ASSIGN(const std::uint64_t at, place_bzimage(kernel, boot.memory));
    image.add(Gpa{at}, kernel.protected_mode);
    constexpr std::uint64_t kEntry64 = 0x200;
    return LoadedKernel{at + kEntry64, at + kernel.init_bytes, kernel.command_line_max,
                        kernel.initrd_limit, kernel.setup_header};
}

Result<LoadedKernel> add_elf(BootImage& image, const LinuxBoot& boot) {
    VSMP_TRY_ASSIGN(const Elf64 kernel, parse_elf64(boot.kernel));
    for (const Elf64::Segment& segment : kernel.segments) {
        if (!fits_low_ram(boot.memory, segment.at.value(), segment.memory_bytes))
            return Error{fmt::format(
                "kernel segment at 0x{:x}, 0x{:x} bytes, is not in guest RAM "
                "between 1 MiB and {} MiB",
                segment.at.value(), segment.memory_bytes, low_ram_end(boot.memory) >> 20)};
        if (!segment.contents.empty()) image.add(segment.at, segment.contents);
    }
    const Elf64::Segment& last = kernel.segments.back();
    return LoadedKernel{
        kernel.entry, last.at.value() + last.memory_bytes, kElfCommandLineMax, kElfInitrdLimit, {}};
}

// As high as the kernel allows, and in node 0's memory if it fits there: that is where the guest
// boots.
Result<Gpa> place_initrd(const LinuxBoot& boot, const LoadedKernel& kernel) {
    const std::uint64_t highest = std::min(kernel.initrd_limit, low_ram_end(boot.memory));
    const std::uint64_t cell_end = boot.memory.cell_ranges().front().bytes;
    const std::uint64_t bytes = boot.initrd.size();
    for (std::uint64_t limit : {std::min(highest, cell_end), highest}) {
        if (bytes > limit) continue;
        const std::uint64_t at = (limit - bytes) / kPageSize * kPageSize;
        if (at >= kernel.end) return Gpa{at};
    }
    return Error{
        fmt::format("guest memory too small: the initrd of {} MiB does not fit between "
                    "the kernel's end at {} MiB and {} MiB",
                    (bytes >> 20) + 1, kernel.end >> 20, highest >> 20)};
}

bool has_tsc_frequency(const std::string& command_line) {
    return (" " + command_line).find(" tsc_early_khz=") != std::string::npos;
}

Result<std::vector<std::byte>> make_command_line(const LinuxBoot& boot, std::uint64_t max) {
    std::string line = boot.command_line;
    if (line.find('\0') != std::string::npos) return Error{"kernel command line has a zero byte"};
    if (boot.tsc_khz != 0 && !has_tsc_frequency(line))
        line += fmt::format("{}tsc_early_khz={}", line.empty() ? "" : " ", boot.tsc_khz);
    max = std::min(max, kCommandLineRoom);
    if (line.size() > max)
        return Error{fmt::format("kernel command line has {} bytes, this kernel takes {}",
                                 line.size(), max)};
    std::vector<std::byte> bytes(line.size() + 1);
    std::ranges::transform(line, bytes.begin(), [](char c) { return std::byte(c); });
    return bytes;
}

// struct boot_params (zero-page.rst), written field by field.
class ZeroPage {
  public:
    template <class T>
    void set(std::size_t offset, T value) {
        ByteWriter{std::span{bytes_}.subspan(offset)}.write(value);
    }
    void set_bytes(std::size_t offset, ByteView value) {
        ByteWriter{std::span{bytes_}.subspan(offset)}.write(value);
    }
    void set_low_and_high(std::size_t low, std::size_t high, std::uint64_t value) {
        set(low, static_cast<std::uint32_t>(value));
        set(high, static_cast<std::uint32_t>(value >> 32));
    }
    std::vector<std::byte> take() && { return std::move(bytes_); }

  private:
    std::vector<std::byte> bytes_ = std::vector<std::byte>(kPageSize);
};

void set_header_of_elf_kernel(ZeroPage& page) {
    page.set(0x1fe, std::uint16_t{0xaa55});
    page.set(0x202, std::uint32_t{0x53726448});
    page.set(0x206, std::uint16_t{0x020f});
    page.set(0x230, std::uint32_t{0x200000});
}

std::vector<std::byte> make_zero_page(const LinuxBoot& boot, const LoadedKernel& kernel,
                                      Gpa initrd) {
    constexpr std::uint8_t kUnknownLoader = 0xff;
    constexpr std::size_t kE820EntryBytes = 20;
    ZeroPage page;
    if (kernel.setup_header.empty())
        set_header_of_elf_kernel(page);
    else
        page.set_bytes(0x1f1, kernel.setup_header);
    page.set(0x070, boot.acpi_rsdp.value());
    page.set(0x210, kUnknownLoader);
    page.set_low_and_high(0x218, 0x0c0, initrd.value());
    page.set_low_and_high(0x21c, 0x0c4, boot.initrd.size());
    page.set_low_and_high(0x228, 0x0c8, kCommandLine.value());
    const std::vector<E820Entry> map = boot.memory.e820();
    page.set(0x1e8, static_cast<std::uint8_t>(map.size()));
    std::size_t offset = 0x2d0;
    for (const E820Entry& entry : map) {
        page.set(offset, entry.gpa.value());
        page.set(offset + 8, entry.bytes);
        page.set(offset + 16, static_cast<std::uint32_t>(entry.type));
        offset += kE820EntryBytes;
    }
    return std::move(page).take();
}

std::vector<std::byte> make_gdt() {
    std::vector<std::byte> bytes(4 * sizeof(std::uint64_t));
    ByteWriter out{bytes};
    for (std::uint64_t entry :
         {std::uint64_t{0}, std::uint64_t{0}, kKernelCodeDescriptor, kKernelDataDescriptor})
        out.write(entry);
    return bytes;
}

BootState make_state(std::uint64_t entry) {
    BootState state;
    state.rip = entry;
    state.rsp = kStackTop.value();
    state.rsi = kZeroPage.value();
    state.cr0 = kCr0LongMode;
    state.cr3 = kPageTables.value();
    state.cr4 = kCr4Pae;
    state.efer = kEferLongMode;
    state.apic_base = kApicBaseOfBoot;
    state.cs = code64(kCodeSelector);
    state.ds = state.es = state.fs = state.gs = state.ss = flat_data(kDataSelector);
    state.tr = busy_tss(0, 0, 0xffff);  // entry to a guest needs a usable one
    state.gdt = {kGdt.value(), 4 * sizeof(std::uint64_t) - 1};
    return state;
}

}  // namespace

Result<BootImage> load_linux(const LinuxBoot& boot) {
    BootImage image;
    auto loaded = is_elf(boot.kernel) ? add_elf(image, boot) : add_bzimage(image, boot);
    if (!loaded) return loaded.error();
    const LoadedKernel& kernel = *loaded;
    Gpa initrd{0};
    if (!boot.initrd.empty()) {
        VSMP_TRY_ASSIGN(initrd, place_initrd(boot, kernel));
        image.add(initrd, boot.initrd);
    }
    VSMP_TRY_ASSIGN(auto command_line, make_command_line(boot, kernel.command_line_max));
    constexpr std::uint64_t kFourGigabytes = 1ull << 32;
    const std::array<MapRange, 1> mapped{MapRange{Gpa{0}, kFourGigabytes}};
    image.add(kCommandLine, std::move(command_line));
    image.add(kZeroPage, make_zero_page(boot, kernel, initrd));
    image.add(kGdt, make_gdt());
    image.add(kPageTables, make_identity_map(kPageTables, mapped, MapFor::supervisor));
    image.start.push_back(make_state(kernel.entry));
    return image;
}

}  // namespace vsmp::boot
