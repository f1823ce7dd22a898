#include "vmm/control/preflight.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "proto/bytes.hpp"
#include "vmm/control/protocol.hpp"

namespace vsmp::control {
namespace {

constexpr std::size_t kBzImageMagicAt = 0x202;       // Documentation/arch/x86/boot.rst
constexpr std::uint32_t kBzImageMagic = 0x53726448;  // "HdrS"
constexpr std::uint32_t kElfMagic = 0x464c457f;      // System V gABI, ch. 4
constexpr std::uint32_t kElfNote = 4;                // PT_NOTE
constexpr std::size_t kProgramHeaderBytes = 56;      // Elf64_Phdr
constexpr std::string_view kMicroGuestOwner = "vsmp";
constexpr unsigned kMinKernelMajor = 6, kMinKernelMinor = 4;  // UFFDIO_CONTINUE_MODE_WP
constexpr std::uint64_t kTscTolerance = 1000;                 // one part in so many

std::uint32_t read_u32(ByteView file, std::size_t at) {
    if (at >= file.size()) return 0;
    ByteReader reader{file.subspan(at)};
    const auto value = reader.read<std::uint32_t>();
    return reader.ok() ? value : 0;
}

bool is_elf64_x86(ByteView file) {
    return file.size() >= 64 && read_u32(file, 0) == kElfMagic && file[4] == std::byte{2} &&
           (read_u32(file, 18) & 0xffff) == 62;  // ELFCLASS64, EM_X86_64
}

Result<std::vector<std::byte>> read_file(const std::string& path, const char* what,
                                         std::uint64_t limit) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return Error::from_errno(std::string{what} + " " + path);
    if (!S_ISREG(info.st_mode)) return Error{std::string{what} + " " + path + ": not a file"};
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size == 0) return Error{std::string{what} + " " + path + ": empty"};
    if (size > limit)
        return Error{fmt::format("{} {}: larger than {} MiB", what, path, limit >> 20)};
    std::ifstream file{path, std::ios::binary};
    if (!file) return Error::from_errno(std::string{what} + " " + path);
    std::vector<std::byte> bytes(size);
    if (!file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size)))
        return Error{std::string{what} + " " + path + ": cannot read all of it"};
    return bytes;
}

bool has_owner(ByteView notes) {
    ByteReader reader{notes};
    while (reader.ok() && !reader.at_end()) {
        const auto name_size = reader.read<std::uint32_t>();
        const auto data_size = reader.read<std::uint32_t>();
        reader.read<std::uint32_t>();  // type
        const ByteView name = reader.take((std::uint64_t{name_size} + 3) & ~std::uint64_t{3});
        reader.take((std::uint64_t{data_size} + 3) & ~std::uint64_t{3});
        if (!reader.ok() || name_size != kMicroGuestOwner.size() + 1) continue;
        const auto owner = name.first(kMicroGuestOwner.size());
        if (std::equal(owner.begin(), owner.end(), kMicroGuestOwner.begin(),
                       [](std::byte a, char b) { return std::to_integer<char>(a) == b; }))
            return true;
    }
    return false;
}

// "6.12.9-amd64" -> 6, 12
std::optional<std::pair<unsigned, unsigned>> parse_release(std::string_view release) {
    std::pair<unsigned, unsigned> version;
    const char* end = release.data() + release.size();
    const auto major = std::from_chars(release.data(), end, version.first);
    if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') return {};
    const auto minor = std::from_chars(major.ptr + 1, end, version.second);
    if (minor.ec != std::errc{}) return {};
    return version;
}

Result<void> check_host(const NodeConfig& node, const NodeFacts& facts, std::size_t node_count,
                        GuestKind kind) {
    const auto version = parse_release(facts.host_kernel);
    if (!version || *version < std::pair{kMinKernelMajor, kMinKernelMinor})
        return Error{fmt::format("{}: host Linux {} is too old; vsmp needs {}.{} or newer",
                                 node_label(node), facts.host_kernel, kMinKernelMajor,
                                 kMinKernelMinor)};
    if (!facts.nested_paging && node_count > 1 && kind == GuestKind::operating_system)
        return Error{fmt::format(
            "{}: its KVM has no nested paging (NPT or EPT); without it an operating system can "
            "only run on one node",
            node_label(node))};
    return {};
}

std::optional<std::string> shared_interface(const NodeConfig& one, const NodeConfig& other) {
    for (const LinkConfig& link : one.links)
        for (const LinkConfig& its : other.links) {
            const auto* a = std::get_if<AfPacketLink>(&link);
            const auto* b = std::get_if<AfPacketLink>(&its);
            if (a != nullptr && b != nullptr && a->interface == b->interface) return a->interface;
        }
    return std::nullopt;
}

}  // namespace

std::string node_label(const NodeConfig& node) {
    return fmt::format("node {} ({})", node.id.value(), node.host);
}

Result<void> place_nodes(GuestConfig& guest, std::optional<unsigned> local_count) {
    if (local_count && *local_count != guest.nodes.size())
        return Error{fmt::format("--local {}: the guest has {} nodes (one <cell> each)",
                                 *local_count, guest.nodes.size())};
    for (std::size_t i = 0; i < guest.nodes.size(); ++i) {
        NodeConfig& node = guest.nodes[i];
        if (local_count) node.host = "local";
        const bool is_auto = std::ranges::any_of(node.links, [](const LinkConfig& link) {
            return std::holds_alternative<AutoLink>(link);
        });
        if (is_auto && node.host != "local")
            return Error{fmt::format("{}: an 'auto' link joins nodes of this machine only",
                                     node_label(node))};
        for (std::size_t j = 0; local_count && j < i; ++j)
            if (const auto interface = shared_interface(guest.nodes[j], node))
                return Error{fmt::format("--local: nodes {} and {} both use interface {}", j, i,
                                         *interface)};
    }
    return {};
}

Result<void> check_folders(const GuestConfig& placed) {
    const auto check = [](const std::string& folder, const std::string& what) -> Result<void> {
        struct stat info {};
        if (::stat(folder.c_str(), &info) != 0) return Error::from_errno(what);
        if (!S_ISDIR(info.st_mode)) return Error{what + ": not a folder"};
        if (::access(folder.c_str(), W_OK | X_OK) != 0) return Error::from_errno(what);
        return {};
    };
    for (const NodeConfig& node : placed.nodes) {
        if (node.host != "local") continue;
        if (const std::string& folder = placed.fabric.capture_folder; !folder.empty()) {
            VSMP_TRY(check(folder, "the folder for captured frames, " + folder));
        }
        for (const LinkConfig& link : node.links) {
            const auto* pair = std::get_if<VhostUserLink>(&link);
            if (pair == nullptr) continue;
            const std::string folder = std::filesystem::path{pair->socket}.parent_path();
            VSMP_TRY(check(folder,
                           node_label(node) + ": the folder of its vhost-user socket, " + folder));
        }
    }
    return {};
}

Result<BootFiles> load_boot_files(const BootConfig& boot) {
    BootFiles files;
    VSMP_TRY_ASSIGN(files.kernel, read_file(boot.kernel, "kernel", kMaxKernelBytes));
    const ByteView kernel = files.kernel;
    if (read_u32(kernel, kBzImageMagicAt) != kBzImageMagic && !is_elf64_x86(kernel))
        return Error{"kernel " + boot.kernel + ": neither a bzImage nor an x86-64 ELF file"};
    if (is_micro_guest(kernel)) files.kind = GuestKind::micro_guest;
    if (!boot.initrd.empty()) {
        VSMP_TRY_ASSIGN(files.initrd, read_file(boot.initrd, "initrd", kMaxInitrdBytes));
    }
    return files;
}

bool is_micro_guest(ByteView file) {
    if (!is_elf64_x86(file)) return false;
    ByteReader header{file.subspan(32)};
    const auto table = header.read<std::uint64_t>();  // e_phoff
    header.take(16);                                  // e_shoff, e_flags, e_ehsize, e_phentsize
    const auto count = header.read<std::uint16_t>();  // e_phnum
    if (table > file.size()) return false;
    ByteReader headers{file.subspan(table)};
    for (unsigned i = 0; i < count && headers.remaining() >= kProgramHeaderBytes; ++i) {
        ByteReader program{headers.take(kProgramHeaderBytes)};
        const auto type = program.read<std::uint32_t>();
        program.read<std::uint32_t>();  // p_flags
        const auto offset = program.read<std::uint64_t>();
        program.take(16);  // p_vaddr, p_paddr
        const auto size = program.read<std::uint64_t>();
        if (type != kElfNote || offset > file.size() || size > file.size() - offset) continue;
        if (has_owner(file.subspan(offset, size))) return true;
    }
    return false;
}

Result<CommonGround> find_common_ground(const GuestConfig& guest, GuestKind kind,
                                        const std::vector<NodeFacts>& facts,
                                        const CpuidIntersect& intersect) {
    VSMP_CHECK(facts.size() == guest.nodes.size() && !facts.empty(), "facts of every node");
    CommonGround ground;
    ground.tsc_khz = facts.front().tsc_khz;
    std::vector<std::vector<CpuidLeaf>> cpuids;
    for (std::size_t i = 0; i < facts.size(); ++i) {
        VSMP_TRY(check_host(guest.nodes[i], facts[i], facts.size(), kind));
        const std::uint64_t mine = facts[i].tsc_khz;
        const std::uint64_t apart =
            mine > ground.tsc_khz ? mine - ground.tsc_khz : ground.tsc_khz - mine;
        if (apart > ground.tsc_khz / kTscTolerance)
            return Error{fmt::format(
                "{}: its TSC runs at {} kHz, node 0's at {} kHz; a guest needs the same on all "
                "nodes (within 0.1%)",
                node_label(guest.nodes[i]), mine, ground.tsc_khz)};
        cpuids.push_back(facts[i].cpuid);
    }
    auto common = intersect(cpuids);
    if (!common) return common.error().in("the hosts' CPUs do not fit together");
    ground.cpuid = *std::move(common);
    return ground;
}

}  // namespace vsmp::control
