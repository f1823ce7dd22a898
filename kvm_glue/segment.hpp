// Between KVM's segments and descriptor tables and ours, field by field. Pure.
#pragma once

#include <linux/kvm.h>

#include "proto/segment.hpp"

namespace vsmp::kvm {

Segment from_kvm(const kvm_segment& segment);
kvm_segment to_kvm(const Segment& segment);

DescriptorTable from_kvm(const kvm_dtable& table);
kvm_dtable to_kvm(const DescriptorTable& table);

}  // namespace vsmp::kvm
