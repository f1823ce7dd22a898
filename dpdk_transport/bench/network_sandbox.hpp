// A network namespace of a test or bench of its own, which ends with the process and takes its
// interfaces with it. Needs root.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace vsmp::fabric {

// Moves the calling process into a new network namespace. Empty: done; else why not.
inline std::string enter_network_sandbox() {
    if (::geteuid() != 0) return "network namespaces need root";
    if (::unshare(CLONE_NEWNET) != 0) return "unshare(CLONE_NEWNET) is not possible here";
    return {};
}

inline bool run_command(const std::string& command) {
    return std::system(command.c_str()) == 0;
}

inline bool add_veth(const std::string& a, const std::string& b, int mtu = 9000) {
    const std::string size = " mtu " + std::to_string(mtu);
    return run_command("ip link add " + a + size + " type veth peer name " + b + size) &&
           run_command("sysctl -qw net.ipv6.conf." + a + ".disable_ipv6=1 net.ipv6.conf." + b +
                       ".disable_ipv6=1") &&
           run_command("ip link set " + a + " up") && run_command("ip link set " + b + " up");
}

}  // namespace vsmp::fabric
