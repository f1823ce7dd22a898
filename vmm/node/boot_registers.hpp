// The boot loader's registers in KVM's form.
#pragma once

#include "vmm/boot/boot_state.hpp"
#include "vmm/cpu/vcpu_start.hpp"

namespace vsmp {

cpu::BootStart to_boot_start(const boot::BootState& state);

}  // namespace vsmp
