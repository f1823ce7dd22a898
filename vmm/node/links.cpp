#include "vmm/node/links.hpp"

#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/open_port.hpp"

namespace vsmp {
namespace {

struct ToPort {
    NodeId self;

    Result<fabric::PortOptions> operator()(const AutoLink&) const {
        return Error{"node " + std::to_string(self.value()) +
                     " has no link: name one in its <vsmp:link>"};
    }
    Result<fabric::PortOptions> operator()(const AfPacketLink& link) const {
        return fabric::PortOptions{fabric::AfPacketOptions{link.interface}};
    }
    Result<fabric::PortOptions> operator()(const VhostUserLink& link) const {
        return fabric::PortOptions{fabric::VhostUserOptions{
            .socket = link.socket,
            .role = self.value() == 0 ? fabric::VhostRole::server : fabric::VhostRole::client}};
    }
    Result<fabric::PortOptions> operator()(const PciLink& link) const {
        return fabric::PortOptions{fabric::PciOptions{link.address}};
    }
};

}  // namespace

Result<std::unique_ptr<fabric::Fabric>> open_links(const NodeSetup& setup) {
    if (setup.guest.nodes.size() == 1) return std::unique_ptr<fabric::Fabric>{};
    const LinkConfig& link = setup.guest.nodes[setup.self.value()].link;
    VSMP_TRY_ASSIGN(const fabric::PortOptions options, std::visit(ToPort{setup.self}, link));

    fabric::EalOptions eal_options;
    if (const auto* pci = std::get_if<PciLink>(&link)) eal_options.pci_devices = {pci->address};
    VSMP_TRY_ASSIGN(const std::shared_ptr<fabric::Eal> eal, fabric::Eal::start(eal_options));
    VSMP_TRY_ASSIGN(std::unique_ptr<fabric::Port> port, fabric::open_port(eal, options));

    std::vector<std::unique_ptr<fabric::Port>> ports;
    ports.push_back(std::move(port));
    return fabric::make_fabric({.self = setup.self,
                                .node_count = setup.guest.nodes.size(),
                                .guest = setup.incarnation,
                                .incarnation = fabric::random_incarnation(),
                                .vlan = setup.guest.vlan,
                                .timing = {}},
                               std::move(ports));
}

}  // namespace vsmp
