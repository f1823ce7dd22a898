#include "dpdk_transport/make_fabric.hpp"

#include <sys/epoll.h>

#include <random>

#include "dpdk_transport/port_fabric.hpp"

namespace vsmp::fabric {
namespace {

Result<> check(const FabricOptions& options, const std::vector<std::unique_ptr<Port>>& ports) {
    if (options.node_count < 2 || options.node_count > kMaxNodes)
        return Error{"a fabric has 2 to " + std::to_string(kMaxNodes) + " nodes"};
    if (options.self.value() >= options.node_count)
        return Error{"node " + std::to_string(options.self.value()) + " of only " +
                     std::to_string(options.node_count)};
    if (options.incarnation == 0) return Error{"incarnation 0 means unknown"};
    if (options.vlan > 4094)
        return Error{"VLAN " + std::to_string(options.vlan) + " is not 1..4094"};
    if (ports.empty() || ports.size() > kMaxPaths)
        return Error{"a fabric needs 1 to " + std::to_string(kMaxPaths) + " ports"};
    if (options.integrity == Integrity::sealed) return Error{"sealed frames need a sealer"};
    for (const auto& port : ports)
        if (port->mtu() < kSmallestMtu)
            return Error{port->name() + ": MTU " + std::to_string(port->mtu()) +
                         " is too small, at least " + std::to_string(kSmallestMtu) +
                         " is needed and 9000 is right"};
    return {};
}

// One descriptor to sleep on for several ports. One port has its own: a descriptor that an epoll
// set watches costs the kernel something with each frame, asleep or not (with af_packet a third of
// what sending a small one takes).
Result<UniqueFd> watch(const std::vector<std::unique_ptr<Port>>& ports) {
    if (ports.size() == 1) return UniqueFd{};
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    for (const auto& port : ports) {
        epoll_event event{};
        event.events = EPOLLIN;
        if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, port->wakeup_fd(), &event) != 0)
            return Error::from_errno("epoll_ctl for " + port->name());
    }
    return epoll;
}

}  // namespace

std::uint32_t random_incarnation() {
    std::random_device device;
    return std::uniform_int_distribution<std::uint32_t>{1}(device);
}

Result<std::unique_ptr<Fabric>> make_fabric(const FabricOptions& options,
                                            std::vector<std::unique_ptr<Port>> ports,
                                            std::unique_ptr<FrameSealer> sealer) {
    VSMP_TRY(check(options, ports));
    VSMP_TRY_ASSIGN(UniqueFd epoll, watch(ports));
    return std::unique_ptr<Fabric>{std::make_unique<PortFabric>(
        options, std::move(ports), std::move(sealer), std::move(epoll))};
}

}  // namespace vsmp::fabric
