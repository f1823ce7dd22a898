// vCPU states for tests: the smallest, and one with everything that may travel live.
#pragma once

#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::shipper {

// 64-bit kernel, FPU in its init state, the handful of MSRs that Linux sets.
VcpuState idle_fpu_state();
// Every AVX-512, opmask, MPX and PKRU byte live at Intel's offsets, kMaxMsrs MSRs, every optional
// section, the largest local APIC.
VcpuState everything_live_state();

std::vector<std::byte> encoded(const VcpuState& state);

}  // namespace vsmp::shipper
