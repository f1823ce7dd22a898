// Opens ports of DPDK by description. The only way from outside to a DPDK port.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "dpdk_transport/eal.hpp"
#include "dpdk_transport/port.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

// A network interface that exists and is up: one end of a veth pair, a NIC. Needs CAP_NET_RAW. The
// kernel's own traffic on it goes on undisturbed. With an MTU below kGoodMtu pages are cut up.
struct AfPacketOptions {
    std::string interface;
};
// Two processes of one host over a unix socket. The server makes the socket, and open_port waits
// for its client; a client may start first and comes back after either side's restart.
enum class VhostRole : std::uint8_t {
    server,  // virtio_user
    client,  // vhost
};
struct VhostUserOptions {
    std::string socket;
    VhostRole role{};
    Duration connect_timeout = std::chrono::seconds(30);  // server only
};
// A PCI device bound to vfio-pci or uio_pci_generic; it must be in EalOptions::pci_devices.
struct PciOptions {
    std::string address;  // domain:bus:device.function, e.g. 0000:00:04.0
};
using PortOptions = std::variant<AfPacketOptions, VhostUserOptions, PciOptions>;

// Largest Ethernet payload of our frames: what an interface's MTU should be.
inline constexpr std::size_t kGoodMtu = 9000;

// Blocks (milliseconds; the vhost server until its peer is there). The error says what is wrong
// with the port in one line: it does not exist, is down, is in use by another
// vsmp node, may not be opened by this user. Several ports may be open at once.
Result<std::unique_ptr<Port>> open_port(const std::shared_ptr<Eal>& eal,
                                        const PortOptions& options);

}  // namespace vsmp::fabric
