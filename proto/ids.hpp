// Strong types for the quantities that are easily mixed up.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace vsmp {

// An integer that only converts on purpose. Tag tells one kind from another.
template <class Tag, class Rep>
class Id {
  public:
    using rep = Rep;
    constexpr Id() = default;
    constexpr explicit Id(Rep value) : value_(value) {}
    constexpr Rep value() const { return value_; }
    friend constexpr auto operator<=>(const Id&, const Id&) = default;

  private:
    Rep value_{};
};

// One VMM process; 0..63, dense, node 0 boots the guest and has its devices.
using NodeId = Id<struct NodeIdTag, std::uint8_t>;
inline constexpr std::size_t kMaxNodes = 64;

// A virtual CPU of the guest; dense from 0, equal to its initial APIC ID.
using VcpuId = Id<struct VcpuIdTag, std::uint16_t>;
inline constexpr std::size_t kMaxVcpus = 256;

// Guest physical address in bytes.
using Gpa = Id<struct GpaTag, std::uint64_t>;

// Dense number of a 4 KiB page of guest RAM: its offset in the node's memfd divided by kPageSize.
// Holes in the physical address space have no page number (vmm/memory_layout.hpp converts).
using PageNumber = Id<struct PageNumberTag, std::uint64_t>;
inline constexpr std::size_t kPageSize = 4096;

enum class Access : std::uint8_t { read, write };

}  // namespace vsmp

template <class Tag, class Rep>
struct std::hash<vsmp::Id<Tag, Rep>> {
    std::size_t operator()(vsmp::Id<Tag, Rep> id) const noexcept {
        return std::hash<Rep>{}(id.value());
    }
};
