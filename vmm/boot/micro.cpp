#include "vmm/boot/micro.hpp"

#include <fmt/format.h>

#include "vmm/boot/elf64.hpp"
#include "vmm/boot/identity_map.hpp"
#include "vmm/boot/segments.hpp"

namespace vsmp::boot {
namespace {

// Everything below kMicroLoadBase. Stacks have pages of their own: nothing that one vCPU writes
// shares a page with another's.
constexpr Gpa kGdt{0x1000}, kIdt{0x2000}, kArguments{0x3000}, kTssArea{0x4000}, kPageTables{0xc000};
constexpr Gpa kKernelStacks{0x80000}, kUserStacks{0x100000};
constexpr std::uint64_t kKernelStackBytes = 0x1000, kUserStackBytes = 0x4000, kTssStride = 0x200;
static_assert(kTssArea.value() + kMicroMaxVcpus * kTssStride <= kPageTables.value());
static_assert(kPageTables.value() + (2 + (kMicroMaxMemory >> 30) + 1) * kPageSize <=
              kKernelStacks.value());
static_assert(kKernelStacks.value() + kMicroMaxVcpus * kKernelStackBytes <= kUserStacks.value());
static_assert(kUserStacks.value() + kMicroMaxVcpus * kUserStackBytes <= kMicroLoadBase.value());

constexpr std::uint16_t kKernelCode = 0x08, kUserData = 0x1b, kUserCode = 0x23, kFirstTss = 0x28;
constexpr unsigned kVectors = 256, kBreakpoint = 3;
constexpr std::uint32_t kNoteType = 1;
constexpr std::string_view kNoteName = "vsmp";

// SDM vol. 3A 8.7 and vol. 1 19.5.2: the TSS proper, then a bitmap of open ports, then 0xff.
constexpr std::size_t kTssBytes = 104, kOpenPorts = 0x800, kBitmapBytes = kOpenPorts / 8;
constexpr std::uint16_t kTssLimit = kTssBytes + kBitmapBytes;  // the 0xff is inside

// Where the program's CPL 0 stubs are.
struct Stubs {
    std::uint64_t base = 0;
    std::uint64_t stride = 0;
};

const Elf64::Note* find_note(const Elf64& elf) {
    for (const Elf64::Note& note : elf.notes)
        if (note.name == kNoteName && note.type == kNoteType) return &note;
    return nullptr;
}

Result<Stubs> parse_note(const Elf64& elf) {
    const Elf64::Note* note = find_note(elf);
    if (!note) return Error{"micro-guest: the file has no note \"vsmp\" of type 1"};
    ByteReader in{note->descriptor};
    Stubs stubs;
    stubs.base = in.read<std::uint64_t>();
    stubs.stride = in.read<std::uint64_t>();
    if (!in.ok() || !in.at_end()) return Error{"micro-guest: its note is not 16 bytes long"};
    if (stubs.stride > kPageSize || stubs.base >= kMicroMaxMemory)
        return Error{"micro-guest: its note tells impossible addresses"};
    return stubs;
}

Result<> add_program(BootImage& image, const Elf64& elf, const MemoryLayout& memory) {
    const MemorySlot& low = memory.slots().front();
    for (const Elf64::Segment& segment : elf.segments) {
        const std::uint64_t at = segment.at.value();
        if (at < kMicroLoadBase.value() || at > low.bytes || segment.memory_bytes > low.bytes - at)
            return Error{
                fmt::format("micro-guest: segment at 0x{:x}, 0x{:x} bytes, is not in "
                            "guest RAM between 2 MiB and {} MiB",
                            at, segment.memory_bytes, low.bytes >> 20)};
        if (!segment.contents.empty()) image.add(segment.at, segment.contents);
    }
    return {};
}

std::uint64_t kernel_stack_top(unsigned vcpu) {
    return kKernelStacks.value() + (vcpu + 1) * kKernelStackBytes - 16;
}
std::uint64_t tss_of(unsigned vcpu) {
    return kTssArea.value() + vcpu * kTssStride;
}
std::uint16_t tss_selector(unsigned vcpu) {
    return static_cast<std::uint16_t>(kFirstTss + 16 * vcpu);
}

// SDM vol. 3A 8.2.3: a 64-bit TSS descriptor takes two entries. Busy is preset, as the accessed
// bits are elsewhere.
std::uint64_t tss_descriptor(std::uint64_t base) {
    constexpr std::uint64_t kPresentBusyTss = 0x8bull << 40;
    return kPresentBusyTss | kTssLimit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
}

std::vector<std::byte> make_gdt(unsigned vcpus) {
    std::vector<std::byte> bytes(kFirstTss + 16 * vcpus);
    ByteWriter out{bytes};
    out.write(std::uint64_t{0});
    out.write(kKernelCodeDescriptor);
    out.write(kKernelDataDescriptor);
    out.write(kUserDataDescriptor);
    out.write(kUserCodeDescriptor);
    for (unsigned vcpu = 0; vcpu < vcpus; ++vcpu) {
        out.write(tss_descriptor(tss_of(vcpu)));
        out.write(tss_of(vcpu) >> 32);
    }
    return bytes;
}

// SDM vol. 3A 6.14.1: 64-bit interrupt gates.
std::vector<std::byte> make_idt(const Stubs& stubs) {
    constexpr std::uint16_t kPresentInterruptGate = 0x8e00;
    std::vector<std::byte> bytes(kVectors * 16);
    ByteWriter out{bytes};
    for (unsigned vector = 0; vector < kVectors; ++vector) {
        const std::uint64_t stub = stubs.base + vector * stubs.stride;
        const unsigned callable_from = vector == kBreakpoint ? 3 : 0;
        out.write(static_cast<std::uint16_t>(stub));
        out.write(kKernelCode);
        out.write(static_cast<std::uint16_t>(kPresentInterruptGate | callable_from << 13));
        out.write(static_cast<std::uint16_t>(stub >> 16));
        out.write(static_cast<std::uint32_t>(stub >> 32));
        out.write(std::uint32_t{0});
    }
    return bytes;
}

std::vector<std::byte> make_tss(unsigned vcpu) {
    constexpr std::size_t kRsp0 = 4, kBitmapBase = 102;
    std::vector<std::byte> bytes(kTssLimit + 1);  // zero in the bitmap: open
    ByteWriter{std::span{bytes}.subspan(kRsp0)}.write(kernel_stack_top(vcpu));
    ByteWriter{std::span{bytes}.subspan(kBitmapBase)}.write(std::uint16_t{kTssBytes});
    bytes.back() = std::byte{0xff};
    return bytes;
}

template <class Words>
std::vector<std::byte> encode_words(const Words& words) {
    std::vector<std::byte> bytes(words.size() * sizeof(std::uint64_t));
    ByteWriter out{bytes};
    for (std::uint64_t word : words) out.write(word);
    return bytes;
}

BootState make_state(const MicroBoot& boot, std::uint64_t entry, unsigned vcpu) {
    // Both this and the TSS's bitmap open the ports: a software KVM drops IOPL, and QEMU's emulated
    // SVM does not look at the bitmap of a busy TSS.
    constexpr std::uint64_t kInterruptsOn = 0x202, kIopl3 = 0x3000;
    constexpr std::uint64_t kX2Apic = 0xfee00c00, kBootProcessor = 0x100;
    // The ABI wants rsp + 8 to be a multiple of 16 at a function's entry.
    constexpr std::uint64_t kReturnAddress = 8;
    BootState state;
    state.rip = entry;
    state.rsp = kUserStacks.value() + (vcpu + 1) * kUserStackBytes - kReturnAddress;
    state.rflags = kInterruptsOn | kIopl3;
    state.rdi = vcpu;
    state.rsi = boot.vcpu_count;
    state.rdx = boot.memory.total_bytes();
    state.rcx = kArguments.value();
    state.cr0 = kCr0LongMode;
    state.cr3 = kPageTables.value();
    state.cr4 = kCr4Pae | kCr4Fxsr | (boot.xcr0 != 0 ? kCr4Osxsave : 0);
    state.efer = kEferLongMode | kEferNoExecute | kEferSyscall;
    state.xcr0 = boot.xcr0 != 0 ? boot.xcr0 : 1;
    state.apic_base = kX2Apic | (vcpu == 0 ? kBootProcessor : 0);
    state.cs = code64(kUserCode);
    state.ds = state.es = state.fs = state.gs = state.ss = flat_data(kUserData);
    state.tr = busy_tss(tss_selector(vcpu), tss_of(vcpu), kTssLimit);
    state.gdt = {kGdt.value(), static_cast<std::uint16_t>(tss_selector(boot.vcpu_count) - 1)};
    state.idt = {kIdt.value(), kVectors * 16 - 1};
    return state;
}

}  // namespace

bool is_micro_program(ByteView file) {
    if (!is_elf(file)) return false;
    const Result<Elf64> elf = parse_elf64(file);
    return elf && find_note(*elf) != nullptr;
}

Result<BootImage> load_micro(const MicroBoot& boot) {
    if (boot.vcpu_count == 0 || boot.vcpu_count > kMicroMaxVcpus)
        return Error{fmt::format("micro-guest: {} vCPUs, can have 1 to {}", boot.vcpu_count,
                                 kMicroMaxVcpus)};
    if (boot.memory.total_bytes() > kMicroMaxMemory)
        return Error{fmt::format("micro-guest: more than {} GiB of memory", kMicroMaxMemory >> 30)};
    VSMP_TRY_ASSIGN(const Elf64 elf, parse_elf64(boot.program));
    VSMP_TRY_ASSIGN(const Stubs stubs, parse_note(elf));
    BootImage image;
    VSMP_TRY(add_program(image, elf, boot.memory));
    std::vector<MapRange> ranges;
    for (const MemorySlot& slot : boot.memory.slots()) ranges.push_back({slot.gpa, slot.bytes});
    image.add(kGdt, make_gdt(boot.vcpu_count));
    image.add(kIdt, make_idt(stubs));
    std::vector<std::uint64_t> arguments{boot.arguments.begin(), boot.arguments.end()};
    arguments.push_back(boot.xcr0);
    image.add(kArguments, encode_words(arguments));
    image.add(kPageTables, make_identity_map(kPageTables, ranges, MapFor::user));
    for (unsigned vcpu = 0; vcpu < boot.vcpu_count; ++vcpu) {
        image.add(Gpa{tss_of(vcpu)}, make_tss(vcpu));
        image.add(Gpa{kernel_stack_top(vcpu)}, encode_words(std::array<std::uint64_t, 1>{vcpu}));
        image.start.push_back(make_state(boot, elf.entry, vcpu));
    }
    return image;
}

}  // namespace vsmp::boot
