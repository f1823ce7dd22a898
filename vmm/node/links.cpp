#include "vmm/node/links.hpp"

#include "dpdk_transport/crypto/aead_sealer.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/open_port.hpp"
#include "dpdk_transport/ports/tap_port.hpp"

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

// Nothing without a key.
Result<std::unique_ptr<fabric::FrameSealer>> make_sealer(const NodeSetup& setup) {
    if (setup.guest.fabric.key_file.empty()) return std::unique_ptr<fabric::FrameSealer>{};
    auto opened = fabric::KeyFile::open(setup.guest.fabric.key_file);
    if (!opened) return opened.error();
    const auto file = std::make_shared<fabric::KeyFile>(*std::move(opened));
    return std::unique_ptr<fabric::FrameSealer>{
        fabric::make_aead_sealer({.self = setup.self,
                                  .guest = setup.incarnation,
                                  .keys = file->keys(),
                                  .newer_keys = [file] { return file->newer(); },
                                  .session_clock = {},
                                  .clock = {}})};
}

// `port`, the node's own number `index`, its frames written down if that is wanted.
Result<std::unique_ptr<fabric::Port>> tapped(const NodeSetup& setup, std::size_t index,
                                             std::unique_ptr<fabric::Port> port) {
    const std::string& folder = setup.guest.fabric.capture_folder;
    if (folder.empty()) return port;
    const std::string link = index == 0 ? "" : "-link-" + std::to_string(index);
    const std::string path =
        folder + "/node-" + std::to_string(setup.self.value()) + link + ".pcapng";
    VSMP_TRY_ASSIGN(auto file, fabric::PcapngFile::create(path, port->name()));
    return fabric::tap_port(std::move(port), std::move(file));
}

Result<std::vector<std::unique_ptr<fabric::Port>>> open_ports(const NodeSetup& setup) {
    const std::vector<LinkConfig>& links = setup.guest.nodes[setup.self.value()].links;
    fabric::EalOptions options;
    for (const LinkConfig& link : links)
        if (const auto* pci = std::get_if<PciLink>(&link))
            options.pci_devices.push_back(pci->address);
    VSMP_TRY_ASSIGN(const std::shared_ptr<fabric::Eal> eal, fabric::Eal::start(options));
    std::vector<std::unique_ptr<fabric::Port>> ports;
    for (const LinkConfig& link : links) {
        VSMP_TRY_ASSIGN(const fabric::PortOptions port, std::visit(ToPort{setup.self}, link));
        VSMP_TRY_ASSIGN(std::unique_ptr<fabric::Port> opened, fabric::open_port(eal, port));
        VSMP_TRY_ASSIGN(opened, tapped(setup, ports.size(), std::move(opened)));
        ports.push_back(std::move(opened));
    }
    return ports;
}

}  // namespace

Result<std::unique_ptr<fabric::Fabric>> open_links(const NodeSetup& setup) {
    if (setup.guest.nodes.size() == 1) return std::unique_ptr<fabric::Fabric>{};
    VSMP_TRY_ASSIGN(auto sealer, make_sealer(setup));
    VSMP_TRY_ASSIGN(auto ports, open_ports(setup));
    return fabric::make_fabric({.self = setup.self,
                                .node_count = setup.guest.nodes.size(),
                                .guest = setup.incarnation,
                                .incarnation = fabric::random_incarnation(),
                                .vlan = setup.guest.vlan,
                                .timing = {}},
                               std::move(ports), std::move(sealer));
}

}  // namespace vsmp
