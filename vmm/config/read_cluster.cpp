// <metadata><vsmp:cluster>: which host and link each NUMA cell uses. libvirt never looks inside.
#include <algorithm>
#include <array>

#include "vmm/config/sections.hpp"

namespace vsmp::config {
namespace {

// locality_ml/policies.hpp, make_policy().
constexpr std::array<std::string_view, 4> kPolicies{"always-fetch", "always-ship", "learned",
                                                    "threshold"};
constexpr std::size_t kMaxInterfaceName = 15;  // IFNAMSIZ - 1
constexpr std::size_t kMaxSocketPath = 107;    // sockaddr_un
constexpr std::uint64_t kMaxHoldUs = 1'000'000;
constexpr std::uint64_t kMaxLimitMib = std::uint64_t{1} << 30;

bool is_pci_address(std::string_view text) {  // dddd:bb:dd.f
    constexpr std::string_view shape = "hhhh:hh:hh.o";
    if (text.size() != shape.size()) return false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const bool hex = std::string_view{"0123456789abcdefABCDEF"}.find(text[i]) != text.npos;
        if (shape[i] == 'h' && !hex) return false;
        if (shape[i] == 'o' && (text[i] < '0' || text[i] > '7')) return false;
        if ((shape[i] == ':' || shape[i] == '.') && text[i] != shape[i]) return false;
    }
    return true;
}

Result<LinkConfig> read_link(const XmlElement& link) {
    VSMP_TRY(link.no_children());
    VSMP_TRY_ASSIGN(const std::string type, link.required("type"));
    if (type == "auto") {
        VSMP_TRY(link.only_attributes({"type"}));
        return LinkConfig{AutoLink{}};
    }
    if (type == "af_packet") {
        VSMP_TRY(link.only_attributes({"type", "interface"}));
        VSMP_TRY_ASSIGN(std::string interface, link.required("interface"));
        if (interface.empty() || interface.size() > kMaxInterfaceName ||
            interface.find_first_of("/ ,=:\t\r\n") != interface.npos)
            return link.error("interface='" + interface + "' is not the name of an interface");
        return LinkConfig{AfPacketLink{std::move(interface)}};
    }
    if (type == "vhost-user") {
        VSMP_TRY(link.only_attributes({"type", "socket"}));
        VSMP_TRY_ASSIGN(std::string socket, link.required("socket"));
        // It becomes part of an EAL device argument, where a comma separates.
        if (socket.empty() || socket.front() != '/' || socket.size() > kMaxSocketPath ||
            socket.find_first_of(",=") != socket.npos)
            return link.error("socket='" + socket + "' is not an absolute path of at most 107 " +
                              "characters without ',' and '='");
        return LinkConfig{VhostUserLink{std::move(socket)}};
    }
    if (type == "pci") {
        VSMP_TRY(link.only_attributes({"type", "address"}));
        VSMP_TRY_ASSIGN(std::string address, link.required("address"));
        if (!is_pci_address(address))
            return link.error("address='" + address + "' is not of the form 0000:01:00.0");
        return LinkConfig{PciLink{std::move(address)}};
    }
    return link.error("type='" + type + "' is none of af_packet, vhost-user, pci, auto");
}

bool is_host(std::string_view host) {
    constexpr std::string_view allowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    if (host.empty() || host.size() > 255 || host.find_first_not_of(allowed) != host.npos)
        return false;
    // HOST:PORT and [IPv6]:PORT; an IPv6 address without brackets has more colons than one.
    const std::size_t colon = host.rfind(':');
    const bool has_port =
        colon != host.npos && (host.find(':') == colon || (colon > 0 && host[colon - 1] == ']'));
    return !has_port || parse_number(host.substr(colon + 1), 1, 65535).has_value();
}

Result<ClusterNode> read_node(const XmlElement& element) {
    VSMP_TRY(element.only_attributes({"id", "cell", "host", "limit-mib"}));
    ClusterNode node{.element = element, .config = {}, .cell = 0};
    VSMP_TRY_ASSIGN(const std::string id, element.required("id"));
    const auto number = parse_number(id, 0, kMaxNodes - 1);
    if (!number) return element.error("id='" + id + "' is not a number from 0 to 63");
    node.config.id = NodeId{static_cast<std::uint8_t>(*number)};
    VSMP_TRY_ASSIGN(const std::string cell, element.required("cell"));
    const auto cell_number = parse_number(cell, 0, kMaxNodes - 1);
    if (!cell_number) return element.error("cell='" + cell + "' is not a number from 0 to 63");
    node.cell = *cell_number;
    node.config.host = element.attribute("host").value_or("local");
    if (!is_host(node.config.host))
        return element.error("host='" + node.config.host +
                             "' is neither 'local' nor HOST[:PORT] (1 to 65535)");
    if (const auto limit = element.attribute("limit-mib")) {
        const auto mib = parse_number(*limit, 1, kMaxLimitMib);
        if (!mib)
            return element.error("limit-mib='" + *limit + "' is not a number from 1 to " +
                                 std::to_string(kMaxLimitMib));
        node.config.memory_limit_bytes = *mib << 20;
    }
    for (const XmlElement& child : element.children()) {
        if (child.name_space() != kVsmpNamespace || child.name() != "link")
            return child.error("is not known in <" + element.label() + ">");
        if (node.config.links.size() == kMaxLinks)
            return child.error("more than " + std::to_string(kMaxLinks) + " links of node " + id);
        VSMP_TRY_ASSIGN(LinkConfig link, read_link(child));
        node.config.links.push_back(std::move(link));
    }
    if (node.config.links.empty()) return element.error("node " + id + " has no <vsmp:link>");
    return node;
}

// Ids dense from 0, no id and no cell twice.
Result<void> order_nodes(Cluster& cluster) {
    for (std::size_t i = 0; i < cluster.nodes.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            const ClusterNode& node = cluster.nodes[i];
            const ClusterNode& other = cluster.nodes[j];
            const std::string where = " (line " + std::to_string(other.element.line()) + ")";
            if (node.config.id == other.config.id)
                return node.element.error("a second node with id " +
                                          std::to_string(node.config.id.value()) + where);
            if (node.cell == other.cell)
                return node.element.error("cell " + std::to_string(node.cell) +
                                          " already belongs to node " +
                                          std::to_string(other.config.id.value()) + where);
        }
    }
    std::sort(cluster.nodes.begin(), cluster.nodes.end(),
              [](const auto& a, const auto& b) { return a.config.id < b.config.id; });
    for (std::size_t i = 0; i < cluster.nodes.size(); ++i)
        if (cluster.nodes[i].config.id.value() != i)
            return cluster.nodes[i].element.error("there is no node " + std::to_string(i) +
                                                  ": nodes are numbered from 0");
    return {};
}

Result<void> read_memory(const XmlElement& element, Cluster& cluster) {
    VSMP_TRY(element.only_attributes({"read-ahead", "companions", "large-pages"}));
    const auto number = [&](const char* name, std::uint64_t most,
                            std::optional<std::uint64_t>& into) -> Result<void> {
        const auto text = element.attribute(name);
        if (!text) return {};
        into = parse_number(*text, 0, most);
        if (into) return {};
        return element.error(std::string{name} + "='" + *text + "' is not a number from 0 to " +
                             std::to_string(most));
    };
    VSMP_TRY(number("read-ahead", coherence::kMaxReadAhead, cluster.read_ahead));
    VSMP_TRY(number("companions", coherence::kMaxCompanions, cluster.companions));
    if (const auto text = element.attribute("large-pages")) {
        if (*text != "yes" && *text != "no")
            return element.error("large-pages='" + *text + "' is neither yes nor no");
        cluster.large_pages = *text == "yes";
    }
    return {};
}

Result<void> read_setting(const XmlElement& child, Cluster& cluster) {
    VSMP_TRY(child.no_children());
    const auto number = [&](const char* attribute, std::uint64_t low,
                            std::uint64_t high) -> Result<std::uint64_t> {
        VSMP_TRY(child.only_attributes({attribute}));
        VSMP_TRY_ASSIGN(const std::string text, child.required(attribute));
        if (auto value = parse_number(text, low, high)) return *value;
        return child.error(std::string{attribute} + "='" + text + "' is not a number from " +
                           std::to_string(low) + " to " + std::to_string(high));
    };
    if (child.name() == "policy") {
        VSMP_TRY(child.only_attributes({"name"}));
        VSMP_TRY_ASSIGN(cluster.policy, child.required("name"));
        if (std::find(kPolicies.begin(), kPolicies.end(), cluster.policy) == kPolicies.end())
            return child.error("name='" + cluster.policy +
                               "' is none of always-fetch, always-ship, learned, threshold");
        return {};
    }
    if (child.name() == "hold") {
        VSMP_TRY_ASSIGN(const std::uint64_t us, number("us", 1, kMaxHoldUs));
        cluster.hold = std::chrono::microseconds(us);
        return {};
    }
    if (child.name() == "memory") {
        return read_memory(child, cluster);
    }
    if (child.name() == "vlan") {
        VSMP_TRY_ASSIGN(const std::uint64_t id, number("id", 1, 4094));
        cluster.vlan = static_cast<std::uint16_t>(id);
        return {};
    }
    if (child.name() == "fabric") {
        VSMP_TRY_ASSIGN(cluster.fabric, read_fabric(child));
        return {};
    }
    if (child.name() == "spread") {
        VSMP_TRY(child.only_attributes({"mode"}));
        VSMP_TRY_ASSIGN(const std::string mode, child.required("mode"));
        if (mode != "round-robin" && mode != "none")
            return child.error("mode='" + mode + "' is neither round-robin nor none");
        cluster.spread = mode == "none" ? Spread::none : Spread::round_robin;
        return {};
    }
    return child.error("is not known in <" + cluster.element.label() + ">");
}

Result<Cluster> read_cluster_element(const XmlElement& element) {
    Cluster cluster{.element = element,
                    .nodes = {},
                    .policy = {},
                    .hold = {},
                    .read_ahead = {},
                    .companions = {},
                    .fabric = {}};
    VSMP_TRY(element.only_attributes({}));
    std::vector<std::string_view> seen;
    for (const XmlElement& child : element.children()) {
        if (child.name_space() != kVsmpNamespace)
            return child.error("is not known in <" + element.label() + ">");
        if (child.name() == "node") {
            if (cluster.nodes.size() == kMaxNodes)
                return child.error("more than " + std::to_string(kMaxNodes) + " nodes");
            VSMP_TRY_ASSIGN(ClusterNode node, read_node(child));
            cluster.nodes.push_back(std::move(node));
            continue;
        }
        if (std::find(seen.begin(), seen.end(), child.name()) != seen.end())
            return child.error("a second <" + child.label() + ">");
        seen.push_back(child.name());
        VSMP_TRY(read_setting(child, cluster));
    }
    if (cluster.nodes.empty()) return element.error("has no <vsmp:node>");
    VSMP_TRY(order_nodes(cluster));
    return cluster;
}

}  // namespace

Result<Cluster> read_cluster(const XmlElement& metadata) {
    std::optional<XmlElement> found;
    for (const XmlElement& child : metadata.children()) {
        // Other namespaces are other programs' notes to themselves.
        if (child.name_space() != kVsmpNamespace) {
            if (child.name() == "cluster")
                return child.error(std::string{"the namespace has to be '"} + kVsmpNamespace + "'");
            continue;
        }
        if (child.name() != "cluster") return child.error("is not known in <metadata>");
        if (found) return child.error("a second one; libvirt would drop it");
        found = child;
    }
    if (!found)
        return metadata.error(std::string{"has no <vsmp:cluster xmlns:vsmp='"} + kVsmpNamespace +
                              "'>, which says where the nodes are");
    return read_cluster_element(*found);
}

}  // namespace vsmp::config
