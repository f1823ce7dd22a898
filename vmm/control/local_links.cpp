#include "vmm/control/local_links.hpp"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "vmm/control/process.hpp"
#include "vmm/control/runtime_directory.hpp"

namespace vsmp::control {
namespace {

constexpr const char* kMtu = "9000";

std::string interface_of(std::size_t node) {
    return "vsmp" + std::to_string(node);
}

bool is_auto(const NodeConfig& node) {
    return std::holds_alternative<AutoLink>(node.link);
}

// addrgenmode none: no IPv6 address, hence none of its chatter on a link that is ours alone.
std::string bring_up(const std::string& interface) {
    return "link set dev " + interface + " addrgenmode none mtu " + kMtu + " up\n";
}

}  // namespace

std::string link_commands(std::size_t nodes) {
    if (nodes == 2)
        return "link add vsmp0 mtu 9000 type veth peer name vsmp1 mtu 9000\n" + bring_up("vsmp0") +
               bring_up("vsmp1");
    std::string commands = "link add vsmpbr type bridge\n";
    for (std::size_t node = 0; node < nodes; ++node) {
        const std::string port = "port" + std::to_string(node);
        commands += "link add " + interface_of(node) + " mtu " + kMtu + " type veth peer name " +
                    port + " mtu " + kMtu + "\n";
        commands += "link set dev " + port + " master vsmpbr\n";
        commands += bring_up(port) + bring_up(interface_of(node));
    }
    return commands + bring_up("vsmpbr");
}

LocalLinks::Directory::~Directory() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
}

LocalLinks::~LocalLinks() = default;

Result<LocalLinks> LocalLinks::create(GuestConfig& guest) {
    const bool nothing_to_do =
        guest.nodes.size() < 2 || std::none_of(guest.nodes.begin(), guest.nodes.end(), is_auto);
    if (nothing_to_do) return LocalLinks{};
    UniqueFd own{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
    if (!own) return Error::from_errno("open /proc/self/ns/net");
    if (::unshare(CLONE_NEWNET) == 0) return with_veth(guest, std::move(own));
    const Error refused = Error::from_errno("making a network namespace");
    if (guest.nodes.size() > 2)
        return Error{"cannot link " + std::to_string(guest.nodes.size()) + " nodes: " +
                     refused.message + " (needs CAP_SYS_ADMIN and CAP_NET_ADMIN; run as root)"};
    return with_vhost_user(guest, "no right to make a veth pair (CAP_SYS_ADMIN): the nodes are " +
                                      std::string{"linked by a vhost-user socket"});
}

Result<LocalLinks> LocalLinks::with_veth(GuestConfig& guest, UniqueFd own_namespace) {
    LocalLinks links;
    links.net_namespace_ = UniqueFd{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
    const Result<void> made = run_command({"ip", "-batch", "-"}, link_commands(guest.nodes.size()));
    if (::setns(own_namespace.get(), CLONE_NEWNET) != 0)
        return Error::from_errno("returning to our network namespace");
    if (!links.net_namespace_) return Error::from_errno("open /proc/self/ns/net");
    if (!made) return made.error().in("cannot link the nodes (is iproute2 installed?)");
    for (NodeConfig& node : guest.nodes)
        if (is_auto(node)) node.link = AfPacketLink{interface_of(node.id.value())};
    return links;
}

Result<LocalLinks> LocalLinks::with_vhost_user(GuestConfig& guest, const std::string& remark) {
    VSMP_TRY_ASSIGN(std::string pattern, runtime_directory());
    pattern += "/link-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return Error::from_errno("mkdtemp " + pattern);
    LocalLinks links;
    links.directory_.emplace(pattern);
    links.remark_ = remark;
    for (NodeConfig& node : guest.nodes)
        if (is_auto(node)) node.link = VhostUserLink{pattern + "/link.sock"};
    return links;
}

}  // namespace vsmp::control
