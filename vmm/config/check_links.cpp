// Whether the links of all nodes go together.
#include <algorithm>

#include "vmm/config/sections.hpp"

namespace vsmp::config {
namespace {

template <class Link>
std::size_t count_of(const ClusterNode& node) {
    return static_cast<std::size_t>(std::ranges::count_if(
        node.config.links, [](const auto& link) { return std::holds_alternative<Link>(link); }));
}

std::vector<std::string> sockets_of(const ClusterNode& node) {
    std::vector<std::string> sockets;
    for (const LinkConfig& link : node.config.links)
        if (const auto* pair = std::get_if<VhostUserLink>(&link)) sockets.push_back(pair->socket);
    std::ranges::sort(sockets);
    return sockets;
}

// Nodes with links that vsmp-run makes live in a network namespace with nothing else in it.
Result<void> check_auto(const ClusterNode& node, const ClusterNode& first) {
    const std::size_t count = count_of<AutoLink>(node);
    const bool pure = count == 0 || count == node.config.links.size();
    if (pure && count == count_of<AutoLink>(first)) return {};
    return node.element.error(
        "'auto' links cannot be mixed with others, and all nodes have the same number of them");
}

Result<void> check_sockets(const ClusterNode& node, const std::vector<ClusterNode>& nodes) {
    const ClusterNode& first = nodes.front();
    const std::vector<std::string> sockets = sockets_of(node);
    if (std::ranges::adjacent_find(sockets) != sockets.end())
        return node.element.error("the same socket twice: " + *std::ranges::adjacent_find(sockets));
    if (!sockets.empty() && nodes.size() != 2)
        return node.element.error("a vhost-user link joins exactly two nodes");
    if (sockets != sockets_of(first))
        return node.element.error("the two nodes of a vhost-user link name the same socket");
    if (!sockets.empty() && first.config.host != node.config.host)
        return node.element.error("the two nodes of a vhost-user link are on the same host");
    return {};
}

// What two links of one host cannot share; nothing for links that may be named twice.
std::string port_of(const LinkConfig& link) {
    if (const auto* interface = std::get_if<AfPacketLink>(&link))
        return "interface " + interface->interface;
    if (const auto* device = std::get_if<PciLink>(&link)) return "PCI device " + device->address;
    return {};
}

Result<void> check_ports(const std::vector<ClusterNode>& nodes, std::size_t index) {
    const NodeConfig& mine = nodes[index].config;
    for (std::size_t i = 0; i < mine.links.size(); ++i) {
        const std::string port = port_of(mine.links[i]);
        if (port.empty()) continue;
        for (std::size_t j = 0; j < i; ++j)
            if (port_of(mine.links[j]) == port)
                return nodes[index].element.error("the same link twice: " + port);
        for (std::size_t other = 0; other < index; ++other) {
            if (nodes[other].config.host != mine.host) continue;
            for (const LinkConfig& link : nodes[other].config.links)
                if (port_of(link) == port)
                    return nodes[index].element.error(
                        "same link as node " + std::to_string(other) + " (line " +
                        std::to_string(nodes[other].element.line()) + "): " + port);
        }
    }
    return {};
}

}  // namespace

Result<void> check_links(const std::vector<ClusterNode>& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        VSMP_TRY(check_auto(nodes[i], nodes.front()));
        VSMP_TRY(check_sockets(nodes[i], nodes));
        VSMP_TRY(check_ports(nodes, i));
    }
    return {};
}

}  // namespace vsmp::config
