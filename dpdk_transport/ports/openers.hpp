// One function per kind of port. Internal to dpdk_transport/ports; see open_port.hpp.
#pragma once

#include "dpdk_transport/ports/open_port.hpp"
#include "proto/fd.hpp"

namespace vsmp::fabric {

Result<std::unique_ptr<Port>> open_af_packet(const std::shared_ptr<Eal>& eal,
                                             const AfPacketOptions& options);
Result<std::unique_ptr<Port>> open_vhost_user(const std::shared_ptr<Eal>& eal,
                                              const VhostUserOptions& options);
Result<std::unique_ptr<Port>> open_pci(const std::shared_ptr<Eal>& eal, const PciOptions& options);

// Taken while a port is open, so that two nodes do not answer for each other on it: an abstract
// socket of this name, which the kernel frees when its owner dies, however it dies.
Result<UniqueFd> lock_port(const std::string& name);

}  // namespace vsmp::fabric
