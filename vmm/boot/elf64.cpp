#include "vmm/boot/elf64.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace vsmp::boot {
namespace {

constexpr std::uint32_t kMagic = 0x464c457f;
constexpr std::uint8_t kClass64 = 2, kLittleEndian = 1;
constexpr std::uint16_t kExecutable = 2, kMachineX86_64 = 62;
constexpr std::uint16_t kProgramHeaderBytes = 56, kMaxProgramHeaders = 128;
constexpr std::uint32_t kLoad = 1, kNote = 4;
constexpr std::uint64_t kMaxAddress = 1ull << 52;

struct FileHeader {
    std::uint64_t entry = 0;
    std::uint64_t program_headers = 0;
    std::uint16_t program_header_count = 0;
};

struct ProgramHeader {
    std::uint32_t type = 0;
    std::uint64_t offset = 0, physical = 0, file_bytes = 0, memory_bytes = 0;
};

Result<FileHeader> parse_file_header(ByteView file) {
    ByteReader in{file};
    const auto magic = in.read<std::uint32_t>();
    const auto word_class = in.read<std::uint8_t>();
    const auto byte_order = in.read<std::uint8_t>();
    in.take(10);
    const auto type = in.read<std::uint16_t>();
    const auto machine = in.read<std::uint16_t>();
    in.take(4);
    FileHeader header;
    header.entry = in.read<std::uint64_t>();
    header.program_headers = in.read<std::uint64_t>();
    in.take(8 + 4 + 2);
    const auto entry_bytes = in.read<std::uint16_t>();
    header.program_header_count = in.read<std::uint16_t>();
    if (!in.ok()) return Error{"ELF file: cut off inside its header"};
    if (magic != kMagic) return Error{"ELF file: no magic number"};
    if (word_class != kClass64 || byte_order != kLittleEndian || machine != kMachineX86_64)
        return Error{"ELF file: not for x86-64"};
    if (type != kExecutable) return Error{"ELF file: not a static executable (ET_EXEC)"};
    if (header.program_header_count == 0) return Error{"ELF file: no program headers"};
    if (entry_bytes != kProgramHeaderBytes || header.program_header_count > kMaxProgramHeaders)
        return Error{fmt::format("ELF file: {} program headers of {} bytes",
                                 header.program_header_count, entry_bytes)};
    return header;
}

ProgramHeader parse_program_header(ByteReader& in) {
    ProgramHeader header;
    header.type = in.read<std::uint32_t>();
    in.take(4);
    header.offset = in.read<std::uint64_t>();
    in.take(8);
    header.physical = in.read<std::uint64_t>();
    header.file_bytes = in.read<std::uint64_t>();
    header.memory_bytes = in.read<std::uint64_t>();
    in.take(8);
    return header;
}

Result<ByteView> contents_of(ByteView file, const ProgramHeader& header) {
    if (header.offset > file.size() || header.file_bytes > file.size() - header.offset)
        return Error{
            fmt::format("ELF file: segment at offset 0x{:x}, 0x{:x} bytes, lies outside "
                        "the file of 0x{:x} bytes",
                        header.offset, header.file_bytes, file.size())};
    return file.subspan(header.offset, header.file_bytes);
}

Result<Elf64::Segment> make_segment(ByteView contents, const ProgramHeader& header) {
    if (contents.size() > header.memory_bytes)
        return Error{"ELF file: a segment is larger in the file than in memory"};
    if (header.physical > kMaxAddress || header.memory_bytes > kMaxAddress)
        return Error{fmt::format("ELF file: segment at physical address 0x{:x}, 0x{:x} bytes",
                                 header.physical, header.memory_bytes)};
    return Elf64::Segment{Gpa{header.physical}, contents, header.memory_bytes};
}

void add_notes(std::vector<Elf64::Note>& notes, ByteView raw) {
    constexpr std::size_t kAlignment = 4;
    auto padded = [](std::size_t size) {
        return (size + kAlignment - 1) / kAlignment * kAlignment;
    };
    ByteReader in{raw};
    while (!in.at_end()) {
        const auto name_bytes = in.read<std::uint32_t>();
        const auto descriptor_bytes = in.read<std::uint32_t>();
        const auto type = in.read<std::uint32_t>();
        const ByteView name = in.take(padded(name_bytes));
        // The last descriptor may lack its padding.
        const ByteView descriptor = in.take(std::min(padded(descriptor_bytes), in.remaining()));
        if (!in.ok() || descriptor.size() < descriptor_bytes) return;
        const std::string_view text{reinterpret_cast<const char*>(name.data()), name_bytes};
        notes.push_back(
            {text.substr(0, text.find('\0')), type, descriptor.first(descriptor_bytes)});
    }
}

Result<> check_placement(Elf64& elf) {
    if (elf.segments.empty()) return Error{"ELF file: nothing to load"};
    std::ranges::sort(elf.segments, {}, &Elf64::Segment::at);
    const Elf64::Segment* before = nullptr;
    bool entry_inside = false;
    for (const Elf64::Segment& segment : elf.segments) {
        const std::uint64_t begin = segment.at.value();
        if (before && before->at.value() + before->memory_bytes > begin)
            return Error{fmt::format("ELF file: two segments overlap at 0x{:x}", begin)};
        entry_inside |= elf.entry >= begin && elf.entry - begin < segment.memory_bytes;
        before = &segment;
    }
    if (!entry_inside)
        return Error{fmt::format("ELF file: entry point 0x{:x} is in no segment", elf.entry)};
    return {};
}

}  // namespace

bool is_elf(ByteView file) {
    return ByteReader{file}.read<std::uint32_t>() == kMagic;
}

Result<Elf64> parse_elf64(ByteView file) {
    VSMP_TRY_ASSIGN(const FileHeader header, parse_file_header(file));
    if (header.program_headers > file.size()) return Error{"ELF file: program headers cut off"};
    ByteReader in{file.subspan(header.program_headers)};
    Elf64 elf;
    elf.entry = header.entry;
    for (unsigned i = 0; i < header.program_header_count; ++i) {
        const ProgramHeader program = parse_program_header(in);
        if (!in.ok()) return Error{"ELF file: program headers cut off"};
        if (program.type != kLoad && program.type != kNote) continue;
        VSMP_TRY_ASSIGN(const ByteView contents, contents_of(file, program));
        if (program.type == kNote) {
            add_notes(elf.notes, contents);
        } else if (program.memory_bytes > 0) {
            VSMP_TRY_ASSIGN(Elf64::Segment segment, make_segment(contents, program));
            elf.segments.push_back(segment);
        }
    }
    VSMP_TRY(check_placement(elf));
    return elf;
}

}  // namespace vsmp::boot
