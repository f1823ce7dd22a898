#include "dpdk_transport/ports/open_port.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <functional>

#include "dpdk_transport/ports/openers.hpp"

namespace vsmp::fabric {
namespace {

struct Opener {
    const std::shared_ptr<Eal>& eal;
    auto operator()(const AfPacketOptions& o) const { return open_af_packet(eal, o); }
    auto operator()(const VhostUserOptions& o) const { return open_vhost_user(eal, o); }
    auto operator()(const PciOptions& o) const { return open_pci(eal, o); }
};

}  // namespace

Result<std::unique_ptr<Port>> open_port(const std::shared_ptr<Eal>& eal,
                                        const PortOptions& options) {
    return std::visit(Opener{eal}, options);
}

Result<UniqueFd> lock_port(const std::string& name) {
    // Hashed, because a socket's path may be as long as this name may be.
    const std::string path = "vsmp/port/" + std::to_string(std::hash<std::string>{}(name));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    VSMP_CHECK(path.size() + 1 <= sizeof address.sun_path, "a number is short");
    std::memcpy(address.sun_path + 1, path.data(), path.size());  // first byte 0: abstract
    UniqueFd lock{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!lock) return Error::from_errno("socket");
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
    if (::bind(lock.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) return lock;
    if (errno == EADDRINUSE)
        return Error{"port busy: " + name + " is in use by another vsmp node", EBUSY};
    return Error::from_errno("bind");
}

}  // namespace vsmp::fabric
