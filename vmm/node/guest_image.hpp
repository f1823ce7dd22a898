// Puts the guest's kernel, initrd, ACPI tables and boot parameters into node 0's memory.
#pragma once

#include "page_fault_broker/io/broker.hpp"
#include "page_fault_broker/io/guest_memory.hpp"
#include "vmm/boot/boot_state.hpp"
#include "vmm/memory_layout.hpp"
#include "vmm/node/node.hpp"

namespace vsmp {

// Before any vCPU runs. Everything must fit the memory that node 0 contributes; the error says
// what does not. Returns the registers of the vCPUs that start at once.
Result<std::vector<boot::BootState>> load_guest(const NodeSetup& setup, const MemoryLayout& layout,
                                                GuestMemory& memory, Broker& broker);

}  // namespace vsmp
