// Where guest RAM lies in the guest physical address space, and which node is home of which page.
//
//     0 ........ 3 GiB | hole for MMIO | 4 GiB ........
//
// The cells follow one another in node order; the cell that reaches 3 GiB goes on at 4 GiB. Pages
// are numbered densely in the same order, so PageNumber x kPageSize is the offset in every node's
// memfd.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp {

inline constexpr Gpa kMmioHoleBegin{0xc0000000};
inline constexpr Gpa kMmioHoleEnd{0x100000000};

// A contiguous piece of guest RAM: one KVM memory slot.
struct MemorySlot {
    Gpa gpa;
    std::uint64_t offset = 0;  // in the dense numbering, bytes
    std::uint64_t bytes = 0;

    friend bool operator==(const MemorySlot&, const MemorySlot&) = default;
};

// A contiguous piece of one node's cell, for the SRAT.
struct CellRange {
    NodeId home;
    Gpa gpa;
    std::uint64_t bytes = 0;

    friend bool operator==(const CellRange&, const CellRange&) = default;
};

// ACPI 6.5, 15: address range types.
enum class E820Type : std::uint32_t { ram = 1, reserved = 2 };
struct E820Entry {
    Gpa gpa;
    std::uint64_t bytes = 0;
    E820Type type = E820Type::ram;

    friend bool operator==(const E820Entry&, const E820Entry&) = default;
};

// Immutable; any thread.
class MemoryLayout {
  public:
    // cell_bytes[i] belongs to node i. Errors: no cell, more than kMaxNodes, a cell of 0 bytes or
    // not whole pages, less than 2 MiB in all, more than 2^46 bytes in all.
    static Result<MemoryLayout> create(std::span<const std::uint64_t> cell_bytes);

    std::uint64_t total_bytes() const { return total_; }
    std::uint64_t page_count() const { return total_ / kPageSize; }
    std::size_t node_count() const { return cell_end_.size(); }

    // No value: not RAM.
    std::optional<PageNumber> page_of(Gpa gpa) const;
    // Requires page < page_count().
    Gpa gpa_of(PageNumber page) const;
    NodeId home_of(PageNumber page) const;

    std::span<const MemorySlot> slots() const { return slots_; }
    std::vector<CellRange> cell_ranges() const;

    // What the guest is told, ascending: low RAM up to 640 KiB, 0xa0000..0xfffff reserved (RAM
    // stands behind it and holds the ACPI tables), the rest RAM.
    std::vector<E820Entry> e820() const;

  private:
    MemoryLayout() = default;

    std::uint64_t total_ = 0;
    std::vector<std::uint64_t> cell_end_;  // dense byte offset where node i's cell ends
    std::vector<MemorySlot> slots_;
};

}  // namespace vsmp
