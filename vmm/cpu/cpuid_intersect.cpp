// What several hosts have in common.
#include <algorithm>

#include "vmm/cpu/cpuid.hpp"

namespace vsmp::cpu {
namespace {

bool same_vendor(const CpuidLeaf& a, const CpuidLeaf& b) {
    return a.ebx == b.ebx && a.ecx == b.ecx && a.edx == b.edx;
}

// Which registers of a leaf are sets of features; everything else describes.
struct FeatureRegisters {
    bool eax = false, ebx = false, ecx = false, edx = false;
};
FeatureRegisters feature_registers(std::uint32_t function, std::uint32_t index) {
    switch (function) {
        case 0x1:
            return {.ecx = true, .edx = true};
        case 0x6:
            return {.eax = true};
        case 0x7:  // EAX of index 0 is the highest index
            return {.eax = index != 0, .ebx = true, .ecx = true, .edx = true};
        case 0xd:
            if (index == 0) return {.eax = true, .edx = true};
            if (index == 1) return {.eax = true, .ecx = true, .edx = true};
            return {};
        case 0x80000001:
            return {.ecx = true, .edx = true};
        case 0x80000007:
            return {.ebx = true, .edx = true};
        case 0x80000008:
            return {.ebx = true};
        case 0x80000021:
            return {.eax = true, .ebx = true};
    }
    return {};
}

std::uint32_t smaller_address_sizes(std::uint32_t a, std::uint32_t b) {
    std::uint32_t result = 0;
    for (unsigned shift = 0; shift < 32; shift += 8)
        result |= std::min(a >> shift & 0xff, b >> shift & 0xff) << shift;
    return result;
}

void narrow(CpuidLeaf& leaf, const CpuidLeaf& other) {
    const FeatureRegisters features = feature_registers(leaf.function, leaf.index);
    if (features.eax) leaf.eax &= other.eax;
    if (features.ebx) leaf.ebx &= other.ebx;
    if (features.ecx) leaf.ecx &= other.ecx;
    if (features.edx) leaf.edx &= other.edx;
    const bool eax_is_a_maximum = leaf.function == 0 || leaf.function == 0x80000000 ||
                                  (leaf.function == 7 && leaf.index == 0);
    if (eax_is_a_maximum) leaf.eax = std::min(leaf.eax, other.eax);
    if (leaf.function == 0x80000008) leaf.eax = smaller_address_sizes(leaf.eax, other.eax);
}

// An XSAVE component travels only where it lies at the same place.
void drop_moved_components(std::vector<CpuidLeaf>& common, const std::vector<CpuidLeaf>& other) {
    std::uint32_t moved = 0;
    for (const CpuidLeaf& leaf : common) {
        if (leaf.function != 0xd || leaf.index < 2 || leaf.index >= 32) continue;
        const CpuidLeaf* there = find_leaf(other, 0xd, leaf.index);
        if (there == nullptr || there->eax != leaf.eax || there->ebx != leaf.ebx)
            moved |= 1u << leaf.index;
    }
    for (CpuidLeaf& leaf : common)
        if (leaf.function == 0xd && leaf.index == 0) leaf.eax &= ~moved;
    std::erase_if(common, [&](const CpuidLeaf& leaf) {
        return leaf.function == 0xd && leaf.index >= 2 && leaf.index < 32 &&
               (moved >> leaf.index & 1) != 0;
    });
}

}  // namespace

Result<std::vector<CpuidLeaf>> intersect(std::span<const std::vector<CpuidLeaf>> hosts) {
    if (hosts.empty()) return Error{"CPUID of no host at all"};
    std::vector<CpuidLeaf> common = hosts.front();
    const CpuidLeaf* vendor = find_leaf(common, 0);
    if (vendor == nullptr) return Error{"host 0 has no CPUID leaf 0"};
    const CpuidLeaf first_vendor = *vendor;
    for (std::size_t i = 1; i < hosts.size(); ++i) {
        const CpuidLeaf* other_vendor = find_leaf(hosts[i], 0);
        if (other_vendor == nullptr || !same_vendor(first_vendor, *other_vendor))
            return Error{"the processors of hosts 0 and " + std::to_string(i) +
                         " are of different vendors"};
        drop_moved_components(common, hosts[i]);
        std::erase_if(common, [&](const CpuidLeaf& leaf) {
            return find_leaf(hosts[i], leaf.function, leaf.index) == nullptr;
        });
        for (CpuidLeaf& leaf : common)
            narrow(leaf, *find_leaf(hosts[i], leaf.function, leaf.index));
    }
    return common;
}

}  // namespace vsmp::cpu
