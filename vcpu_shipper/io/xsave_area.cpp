#include "vcpu_shipper/io/xsave_area.hpp"

#include <algorithm>

namespace vsmp::shipper {
namespace {

constexpr std::size_t kMxcsrOffset = 24, kMxcsrSize = 8;  // and MXCSR_MASK, which is the host's
constexpr std::size_t kHeaderOffset = 512;                // XSTATE_BV
constexpr unsigned kSse = 1, kPkru = 9;

template <class T>
T read_at(std::span<const std::byte> area, std::size_t offset) {
    return ByteReader{area.subspan(offset, sizeof(T))}.read<T>();
}

template <class T>
void write_at(std::span<std::byte> area, std::size_t offset, T value) {
    ByteWriter{area.subspan(offset, sizeof(T))}.write(value);
}

// The init state: zero, but for the x87 control word 0x37f (SDM vol. 1, 13.6).
bool in_init_state(const XsaveComponent& component) {
    for (std::size_t i = 0; i < component.bytes.size(); ++i) {
        std::byte init{};
        if (component.index == 0 && i == 0) init = std::byte{0x7f};
        if (component.index == 0 && i == 1) init = std::byte{0x03};
        if (component.bytes[i] != init) return false;
    }
    return true;
}

}  // namespace

XsaveLayout XsaveLayout::from_cpuid(std::span<const CpuidLeaf> leaves) {
    XsaveLayout layout;
    layout.places_[0] = {0, kLegacyFpuBytes};
    layout.places_[1] = {kLegacyFpuBytes, kLegacySseBytes};
    for (const CpuidLeaf& leaf : leaves) {
        const bool component = leaf.function == 0xd && leaf.index >= 2 &&
                               leaf.index < layout.places_.size() &&
                               (kShippableXcr0 >> leaf.index & 1) != 0;
        if (component && leaf.ebx >= kExtendedXsaveOffset && leaf.eax <= kMaxXsaveArea &&
            leaf.ebx + leaf.eax <= kMaxXsaveArea)
            layout.places_[leaf.index] = {static_cast<std::uint16_t>(leaf.ebx),
                                          static_cast<std::uint16_t>(leaf.eax)};
    }
    return layout;
}

XsaveState compact_xsave(std::span<const std::byte> area, std::uint64_t xcr0,
                         const XsaveLayout& layout) {
    XsaveState xsave;
    xsave.xcr0 = xcr0;
    xsave.mxcsr = read_at<std::uint32_t>(area, kMxcsrOffset);
    const auto xstate_bv = read_at<std::uint64_t>(area, kHeaderOffset);
    for (unsigned i = 0; i < 10; ++i) {
        const XsavePlace& place = layout.place(i);
        // KVM keeps PKRU apart from the area and fills it in whatever the bit says.
        if (place.size == 0 || ((xstate_bv >> i & 1) == 0 && i != kPkru)) continue;
        const auto bytes = area.subspan(place.offset, place.size);
        XsaveComponent component{
            static_cast<std::uint8_t>(i), place.offset, {bytes.begin(), bytes.end()}};
        if (i == 0) std::fill_n(component.bytes.begin() + kMxcsrOffset, kMxcsrSize, std::byte{});
        if (!in_init_state(component)) xsave.components.push_back(std::move(component));
    }
    return xsave;
}

Result<void> expand_xsave(const XsaveState& xsave, const XsaveLayout& layout,
                          std::span<std::byte> area) {
    std::ranges::fill(area, std::byte{});
    // The kernel takes MXCSR from the area only with a component that goes with it.
    std::uint64_t xstate_bv = 1u << kSse;
    for (const XsaveComponent& component : xsave.components) {
        const XsavePlace& place = layout.place(component.index);
        if (place.offset != component.offset || place.size != component.bytes.size())
            return Error{"XSAVE component " + std::to_string(component.index) +
                         " lies elsewhere on this host: its CPU differs"};
        std::ranges::copy(component.bytes, area.begin() + place.offset);
        xstate_bv |= std::uint64_t{1} << component.index;
    }
    write_at(area, kMxcsrOffset, xsave.mxcsr);
    write_at(area, kHeaderOffset, xstate_bv);
    return {};
}

}  // namespace vsmp::shipper
