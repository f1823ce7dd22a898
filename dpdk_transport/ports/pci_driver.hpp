// Which kernel driver holds a PCI device. Internal to dpdk_transport.
#pragma once

#include <string>

#include "proto/result.hpp"

namespace vsmp::fabric {

enum class PciDriver : std::uint8_t {
    vfio,  // through an IOMMU, with interrupts
    uio,   // physical addresses, hence hugepages; no receive interrupts
};

// An error when the device does not exist or is bound to anything else. `address` as in
// /sys/bus/pci/devices.
Result<PciDriver> pci_driver(const std::string& address);

}  // namespace vsmp::fabric
