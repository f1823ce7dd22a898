#include "vmm/boot/identity_map.hpp"

#include <array>
#include <optional>

#include "test/vmm/boot/images.hpp"

namespace vsmp::boot {
namespace {

constexpr Gpa kBase{0x9000};
constexpr std::uint64_t kGiB = 1ull << 30;

// Walks the tables as the CPU does; gives the leaf entry.
std::optional<std::uint64_t> walk(ByteView tables, std::uint64_t address, std::uint64_t rights) {
    std::uint64_t table = kBase.value();
    for (unsigned shift : {39u, 30u, 21u}) {
        const std::uint64_t index = address >> shift & 511;
        const auto entry = peek<std::uint64_t>(tables, table - kBase.value() + index * 8);
        if ((entry & 1) == 0) return std::nullopt;
        EXPECT_EQ(entry & 0x67, rights);
        if (shift == 21) return entry;
        table = entry & ~0xfffull;
    }
    return std::nullopt;
}

TEST(IdentityMap, MapsWhatWasAskedAndNothingElse) {
    const std::array<MapRange, 2> ranges{MapRange{Gpa{0}, kGiB + 5},
                                         MapRange{Gpa{4 * kGiB}, 2 * kMiB}};
    const auto tables = make_identity_map(kBase, ranges, MapFor::user);
    EXPECT_EQ(tables.size(), 5 * kPageSize) << "PML4, PDPT, three directories";
    for (std::uint64_t address :
         {0ull, 2 * kMiB + 0ull, kGiB - 1 + 0ull, kGiB + 0ull, 4 * kGiB + 0ull})
        EXPECT_EQ(walk(tables, address, 0x67), (address & ~(2 * kMiB - 1)) | 0xe7) << address;
    for (std::uint64_t address : {kGiB + 2 * kMiB, 2 * kGiB, 4 * kGiB + 2 * kMiB, 8 * kGiB})
        EXPECT_FALSE(walk(tables, address, 0x67)) << address;
}

TEST(IdentityMap, SupervisorPagesHaveNoUserBit) {
    const std::array<MapRange, 1> ranges{MapRange{Gpa{0}, 2 * kMiB}};
    EXPECT_EQ(walk(make_identity_map(kBase, ranges, MapFor::supervisor), 0, 0x63), 0xe3u);
}

}  // namespace
}  // namespace vsmp::boot
