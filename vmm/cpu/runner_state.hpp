// What the VMM itself knows of a vCPU and sends along when it is shipped
// (shipper::VcpuState::local_apic). Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/result.hpp"
#include "vmm/cpu/activity.hpp"
#include "vmm/cpu/lapic.hpp"

namespace vsmp::cpu {

struct RunnerState {
    Activity activity = Activity::running;  // running, halted or wait_for_sipi
    LocalApic apic;
};

std::vector<std::byte> encode_runner_state(const RunnerState& state);
Result<RunnerState> decode_runner_state(ByteView bytes);

}  // namespace vsmp::cpu
