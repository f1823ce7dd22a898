#include "kvm_glue/segment.hpp"

namespace vsmp::kvm {

Segment from_kvm(const kvm_segment& s) {
    const unsigned rights = (s.type & 0xfu) | (s.s & 1u) << 4 | (s.dpl & 3u) << 5 |
                            (s.present & 1u) << 7 | (s.unusable != 0 ? kSegmentUnusable : 0u) |
                            (s.avl & 1u) << 12 | (s.l & 1u) << 13 | (s.db & 1u) << 14 |
                            (s.g & 1u) << 15;
    return {s.base, s.limit, s.selector, static_cast<std::uint16_t>(rights)};
}

kvm_segment to_kvm(const Segment& s) {
    const auto bits = [&](unsigned at, unsigned mask) {
        return static_cast<std::uint8_t>(s.rights >> at & mask);
    };
    kvm_segment kvm{};
    kvm.base = s.base;
    kvm.limit = s.limit;
    kvm.selector = s.selector;
    kvm.type = bits(0, 15);
    kvm.s = bits(4, 1);
    kvm.dpl = bits(5, 3);
    kvm.present = bits(7, 1);
    kvm.unusable = bits(8, 1);
    kvm.avl = bits(12, 1);
    kvm.l = bits(13, 1);
    kvm.db = bits(14, 1);
    kvm.g = bits(15, 1);
    return kvm;
}

DescriptorTable from_kvm(const kvm_dtable& table) {
    return {table.base, table.limit};
}

kvm_dtable to_kvm(const DescriptorTable& table) {
    kvm_dtable kvm{};
    kvm.base = table.base;
    kvm.limit = table.limit;
    return kvm;
}

}  // namespace vsmp::kvm
