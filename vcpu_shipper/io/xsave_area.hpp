// Between KVM's XSAVE area (standard format, SDM vol. 1, 13.4) and the components that travel.
// Pure, though only this layer needs it.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "proto/cpuid_leaf.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::shipper {

struct XsavePlace {
    std::uint16_t offset = 0, size = 0;  // bytes; size 0: this processor hasn't got the component
};

// Where each component lies, as CPUID 0xD tells (and tells the guest).
class XsaveLayout {
  public:
    static XsaveLayout from_cpuid(std::span<const CpuidLeaf> leaves);
    const XsavePlace& place(unsigned component) const { return places_[component]; }

  private:
    std::array<XsavePlace, 10> places_{};
};

// Everything in `area` that is not in its init state. XCR0 comes from elsewhere.
XsaveState compact_xsave(std::span<const std::byte> area, std::uint64_t xcr0,
                         const XsaveLayout& layout);

// Fills in the whole `area`. An error when a component is not where the guest believes it to be.
Result<void> expand_xsave(const XsaveState& xsave, const XsaveLayout& layout,
                          std::span<std::byte> area);

}  // namespace vsmp::shipper
