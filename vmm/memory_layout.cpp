#include "vmm/memory_layout.hpp"

#include <algorithm>
#include <string>

namespace vsmp {
namespace {

constexpr std::uint64_t kLowRam = kMmioHoleBegin.value();
constexpr std::uint64_t kMinTotal = 2ull << 20;
constexpr std::uint64_t kMaxTotal = 1ull << 46;  // the smallest physical address width in use
constexpr Gpa kLowReserved{0xa0000};
constexpr Gpa kHighMemory{0x100000};

Gpa gpa_of_offset(std::uint64_t offset) {
    return offset < kLowRam ? Gpa{offset} : Gpa{offset - kLowRam + kMmioHoleEnd.value()};
}

}  // namespace

Result<MemoryLayout> MemoryLayout::create(std::span<const std::uint64_t> cell_bytes) {
    if (cell_bytes.empty()) return Error{"memory layout: no cell"};
    if (cell_bytes.size() > kMaxNodes)
        return Error{"memory layout: more than " + std::to_string(kMaxNodes) + " cells"};
    MemoryLayout layout;
    for (std::size_t i = 0; i < cell_bytes.size(); ++i) {
        const std::string cell = "memory layout: cell " + std::to_string(i);
        if (cell_bytes[i] == 0) return Error{cell + " has no memory"};
        if (cell_bytes[i] % kPageSize != 0) return Error{cell + " is not a whole number of pages"};
        if (cell_bytes[i] > kMaxTotal - layout.total_)
            return Error{cell + ": more than 64 TiB of guest memory in all"};
        layout.total_ += cell_bytes[i];
        layout.cell_end_.push_back(layout.total_);
    }
    if (layout.total_ < kMinTotal) return Error{"memory layout: less than 2 MiB in all"};
    layout.slots_.push_back({Gpa{0}, 0, std::min(layout.total_, kLowRam)});
    if (layout.total_ > kLowRam)
        layout.slots_.push_back({kMmioHoleEnd, kLowRam, layout.total_ - kLowRam});
    return layout;
}

std::optional<PageNumber> MemoryLayout::page_of(Gpa gpa) const {
    for (const MemorySlot& slot : slots_) {
        if (gpa < slot.gpa) continue;
        const std::uint64_t inside = gpa.value() - slot.gpa.value();
        if (inside < slot.bytes) return PageNumber{(slot.offset + inside) / kPageSize};
    }
    return std::nullopt;
}

Gpa MemoryLayout::gpa_of(PageNumber page) const {
    VSMP_CHECK(page.value() < page_count(), "page number beyond guest memory");
    return gpa_of_offset(page.value() * kPageSize);
}

NodeId MemoryLayout::home_of(PageNumber page) const {
    VSMP_CHECK(page.value() < page_count(), "page number beyond guest memory");
    const auto cell = std::ranges::upper_bound(cell_end_, page.value() * kPageSize);
    return NodeId{static_cast<NodeId::rep>(cell - cell_end_.begin())};
}

std::vector<CellRange> MemoryLayout::cell_ranges() const {
    std::vector<CellRange> ranges;
    std::uint64_t begin = 0;
    for (std::size_t i = 0; i < cell_end_.size(); ++i) {
        const NodeId home{static_cast<NodeId::rep>(i)};
        const std::uint64_t end = cell_end_[i];
        // A cell that reaches into the hole is cut in two there.
        const std::uint64_t cut = begin < kLowRam ? std::min(end, kLowRam) : end;
        ranges.push_back({home, gpa_of_offset(begin), cut - begin});
        if (cut < end) ranges.push_back({home, gpa_of_offset(cut), end - cut});
        begin = end;
    }
    return ranges;
}

std::vector<E820Entry> MemoryLayout::e820() const {
    std::vector<E820Entry> map{
        {Gpa{0}, kLowReserved.value(), E820Type::ram},
        {kLowReserved, kHighMemory.value() - kLowReserved.value(), E820Type::reserved}};
    for (const MemorySlot& slot : slots_) {
        const std::uint64_t skip = slot.gpa == Gpa{0} ? kHighMemory.value() : 0;
        map.push_back({Gpa{slot.gpa.value() + skip}, slot.bytes - skip, E820Type::ram});
    }
    return map;
}

}  // namespace vsmp
