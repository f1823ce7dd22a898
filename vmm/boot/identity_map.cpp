#include "vmm/boot/identity_map.hpp"

#include "proto/bytes.hpp"

namespace vsmp::boot {
namespace {

constexpr std::uint64_t kPresent = 1, kWritable = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40;
constexpr std::uint64_t kLargePage = 0x80;
constexpr std::uint64_t kLarge = 2ull << 20, kGigabyte = 1ull << 30;
constexpr std::size_t kEntries = 512;

// Tables under construction, in entries; table i lies at base + i * kPageSize.
class Tables {
  public:
    Tables(Gpa base, MapFor whom)
        : base_(base),
          rights_(kPresent | kWritable | kAccessed | kDirty | (whom == MapFor::user ? kUser : 0)) {
        entries_.resize(2 * kEntries);  // PML4, PDPT
        entries_[0] = address_of(1) | rights_;
    }

    void map_large(std::uint64_t address) {
        VSMP_CHECK(address < kEntries * kGigabyte, "identity map beyond 512 GiB");
        const std::size_t directory = directory_of(address / kGigabyte);
        entries_[directory * kEntries + address / kLarge % kEntries] =
            address | rights_ | kLargePage;
    }

    std::vector<std::byte> bytes() const {
        std::vector<std::byte> raw(entries_.size() * sizeof(std::uint64_t));
        ByteWriter out{raw};
        for (std::uint64_t entry : entries_) out.write(entry);
        return raw;
    }

  private:
    std::uint64_t address_of(std::size_t table) const { return base_.value() + table * kPageSize; }
    std::size_t directory_of(std::uint64_t gigabyte) {
        const std::size_t slot = kEntries + gigabyte;
        if (entries_[slot] == 0) {
            entries_[slot] = address_of(entries_.size() / kEntries) | rights_;
            entries_.resize(entries_.size() + kEntries);
        }
        return (entries_[slot] - base_.value()) / kPageSize;
    }

    Gpa base_;
    std::uint64_t rights_;
    std::vector<std::uint64_t> entries_;
};

}  // namespace

std::vector<std::byte> make_identity_map(Gpa at, std::span<const MapRange> ranges, MapFor whom) {
    VSMP_CHECK(at.value() % kPageSize == 0, "page tables must be page aligned");
    Tables tables{at, whom};
    for (const MapRange& range : ranges) {
        const std::uint64_t end = range.begin.value() + range.bytes;
        for (std::uint64_t a = range.begin.value() / kLarge * kLarge; a < end; a += kLarge)
            tables.map_large(a);
    }
    return tables.bytes();
}

}  // namespace vsmp::boot
