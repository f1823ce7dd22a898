#include "vmm/control/local_links.hpp"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>

#include "vmm/control/process.hpp"
#include "vmm/control/runtime_directory.hpp"

namespace vsmp::control {
namespace {

constexpr const char* kMtu = "9000";

// The first link of a node is vsmp0, vsmp1...; of further ones each has its number behind it.
std::string with_number(const std::string& name, std::size_t link) {
    return link == 0 ? name : name + "-" + std::to_string(link);
}

std::string interface_of(std::size_t node, std::size_t link) {
    return with_number("vsmp" + std::to_string(node), link);
}

bool is_auto(const LinkConfig& link) {
    return std::holds_alternative<AutoLink>(link);
}

// Links of all nodes are 'auto', and equally many, or none is (check_links.cpp).
std::size_t auto_links(const GuestConfig& guest) {
    return static_cast<std::size_t>(std::ranges::count_if(guest.nodes.front().links, is_auto));
}

template <class MakeLink>
void replace_auto(GuestConfig& guest, MakeLink make_link) {
    for (NodeConfig& node : guest.nodes)
        for (std::size_t link = 0; link < node.links.size(); ++link)
            if (is_auto(node.links[link])) node.links[link] = make_link(node.id.value(), link);
}

// addrgenmode none: no IPv6 address, hence none of its chatter on a link that is ours alone.
std::string bring_up(const std::string& interface) {
    return "link set dev " + interface + " addrgenmode none mtu " + kMtu + " up\n";
}

std::string veth(const std::string& one, const std::string& other) {
    return "link add " + one + " mtu " + kMtu + " type veth peer name " + other + " mtu " + kMtu +
           "\n";
}

// In the calling thread's network namespace.
Result<void> may_use_raw_frames() {
    const UniqueFd socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
    if (socket) return {};
    return Error::from_errno("raw frames");
}

}  // namespace

std::string link_commands(std::size_t nodes, std::size_t link) {
    if (nodes == 2) {
        const std::string one = interface_of(0, link), other = interface_of(1, link);
        return veth(one, other) + bring_up(one) + bring_up(other);
    }
    const std::string bridge = with_number("vsmpbr", link);
    std::string commands = "link add " + bridge + " type bridge\n";
    for (std::size_t node = 0; node < nodes; ++node) {
        const std::string interface = interface_of(node, link);
        const std::string port = with_number("port" + std::to_string(node), link);
        commands += veth(interface, port) + "link set dev " + port + " master " + bridge + "\n" +
                    bring_up(port) + bring_up(interface);
    }
    return commands + bring_up(bridge);
}

LocalLinks::Directory::~Directory() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
}

LocalLinks::~LocalLinks() = default;

Result<LocalLinks> LocalLinks::create(GuestConfig& guest) {
    if (guest.nodes.size() < 2 || auto_links(guest) == 0) return LocalLinks{};
    auto links = with_interfaces(guest);
    if (links) return links;
    if (guest.nodes.size() == 2) return with_vhost_user(guest, links.error().message);
    return Error{"cannot link " + std::to_string(guest.nodes.size()) +
                 " nodes: " + links.error().message +
                 " (needs CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW; run as root)"};
}

Result<LocalLinks> LocalLinks::with_interfaces(GuestConfig& guest) {
    const UniqueFd own{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
    if (!own) return Error::from_errno("open /proc/self/ns/net");
    if (::unshare(CLONE_NEWNET) != 0) return Error::from_errno("making a network namespace");
    LocalLinks links;
    links.net_namespace_ = UniqueFd{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
    const std::size_t nodes = guest.nodes.size(), count = auto_links(guest);
    std::string commands;
    for (std::size_t link = 0; link < count; ++link) commands += link_commands(nodes, link);
    Result<void> made = run_command({"ip", "-batch", "-"}, commands);
    if (made) made = may_use_raw_frames();
    VSMP_CHECK(::setns(own.get(), CLONE_NEWNET) == 0, "returning to our network namespace");
    if (!links.net_namespace_) return Error{"open /proc/self/ns/net"};
    if (!made) return made.error();
    replace_auto(guest, [](std::size_t node, std::size_t link) {
        return AfPacketLink{interface_of(node, link)};
    });
    links.remark_ = std::string{"auto link: af_packet on "} +
                    (nodes == 2 ? "a veth pair" : "veths of a bridge") + " in a namespace" +
                    (count == 1 ? "" : ", " + std::to_string(count) + " of them");
    return links;
}

Result<LocalLinks> LocalLinks::with_vhost_user(GuestConfig& guest, const std::string& reason) {
    VSMP_TRY_ASSIGN(std::string pattern, runtime_directory());
    pattern += "/link-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return Error::from_errno("mkdtemp " + pattern);
    LocalLinks links;
    links.directory_.emplace(pattern);
    links.remark_ =
        "auto link: no veth pair (" + reason + "): the nodes are linked by a vhost-user socket";
    replace_auto(guest, [&](std::size_t, std::size_t link) {
        return VhostUserLink{pattern + "/" + with_number("link", link) + ".sock"};
    });
    return links;
}

}  // namespace vsmp::control
