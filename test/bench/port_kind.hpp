// The kinds of port between two processes of this machine that benches compare.
#pragma once

#include <string>

#include "dpdk_transport/ports/open_port.hpp"

namespace vsmp::bench {

enum class PortKind : std::uint8_t { veth, vhost };

constexpr const char* to_string(PortKind port) {
    return port == PortKind::veth ? "af_packet on veth" : "vhost-user pair";
}

// End `self` of the link `name`: for veth the interfaces NAME0 and NAME1, which exist; for vhost a
// socket in `folder`.
inline fabric::PortOptions port_options(PortKind kind, const std::string& folder,
                                        const std::string& name, int self) {
    if (kind == PortKind::veth) return fabric::AfPacketOptions{name + std::to_string(self)};
    return fabric::VhostUserOptions{
        .socket = folder + "/" + name,
        .role = self == 0 ? fabric::VhostRole::server : fabric::VhostRole::client};
}

}  // namespace vsmp::bench
