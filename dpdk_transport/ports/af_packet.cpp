// af_packet: any network interface, through the kernel.
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <set>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/ports/dpdk_port.hpp"
#include "dpdk_transport/ports/fanout_salt.hpp"
#include "dpdk_transport/ports/openers.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kRingFrame = 16384;
constexpr std::size_t kRingFrames = 512;

struct Interface {
    int index = 0;
    std::size_t mtu = 0;
};

Result<Interface> check_interface(const std::string& name) {
    if (name.empty() || name.size() >= IFNAMSIZ)
        return Error{"\"" + name + "\" is not the name of a network interface"};
    UniqueFd any{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!any) return Error::from_errno("socket");
    ifreq request{};
    std::memcpy(request.ifr_name, name.data(), name.size());
    if (::ioctl(any.get(), SIOCGIFINDEX, &request) != 0)
        return Error{"network interface " + name + " does not exist", errno};
    Interface found;
    found.index = request.ifr_ifindex;
    if (::ioctl(any.get(), SIOCGIFFLAGS, &request) != 0)
        return Error::from_errno("SIOCGIFFLAGS of " + name);
    if ((request.ifr_flags & IFF_UP) == 0)
        return Error{"network interface " + name + " is down", ENETDOWN};
    if (::ioctl(any.get(), SIOCGIFMTU, &request) != 0)
        return Error::from_errno("SIOCGIFMTU of " + name);
    found.mtu = static_cast<std::size_t>(request.ifr_mtu);
    return found;
}

Result<> check_permission() {
    const UniqueFd packet{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
    if (packet) return {};
    if (errno == EPERM || errno == EACCES)
        return Error{"no permission for raw frames: CAP_NET_RAW is needed", errno};
    return Error::from_errno("socket(AF_PACKET)");
}

// Descriptors of this process that are AF_PACKET sockets bound to `interface`.
std::set<int> packet_sockets(int interface) {
    std::set<int> found;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        const std::string name = entry.path().filename();
        int fd = -1;
        std::from_chars(name.data(), name.data() + name.size(), fd);
        sockaddr_ll address{};
        socklen_t size = sizeof address;
        if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
            address.sll_family == AF_PACKET && address.sll_ifindex == interface)
            found.insert(fd);
    }
    return found;
}

// Lets only our EtherType in (the kernel may leave a VLAN tag in place), and nothing that this
// host itself sends: without it every frame of the interface would wake us.
Result<> attach_filter(int socket) {
    constexpr std::uint32_t kTypeAt = 12, kTypeBehindTagAt = kTypeAt + kVlanTagSize;
    constexpr auto kKindOfPacket = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE);
    std::array<sock_filter, 8> program{{
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, kKindOfPacket},
        {BPF_JMP | BPF_JEQ | BPF_K, 5, 0, PACKET_OUTGOING},
        {BPF_LD | BPF_H | BPF_ABS, 0, 0, kTypeAt},
        {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, kEtherType},
        {BPF_LD | BPF_H | BPF_ABS, 0, 0, kTypeBehindTagAt},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kEtherType},
        {BPF_RET | BPF_K, 0, 0, 0xffffffff},
        {BPF_RET | BPF_K, 0, 0, 0},
    }};
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
        return Error::from_errno("SO_ATTACH_FILTER");
    return {};
}

Result<std::unique_ptr<DpdkDevice>> add_device(const std::shared_ptr<Eal>& eal,
                                               const std::string& interface) {
    const std::string arguments = "iface=" + interface + ",blocksz=" + std::to_string(kRingFrame) +
                                  ",framesz=" + std::to_string(kRingFrame) +
                                  ",framecnt=" + std::to_string(kRingFrames) + ",qpairs=1";
    constexpr pid_t kSalts = 16;
    for (pid_t salt = 0;; ++salt) {
        const FanoutSalt salted{salt << 8};
        auto device = DpdkDevice::add(eal, "vdev", unique_device_name("net_af_packet"), arguments);
        if (device || salt == kSalts ||
            device.error().message.find("PACKET_FANOUT") == std::string::npos)
            return device;
    }
}

}  // namespace

Result<std::unique_ptr<Port>> open_af_packet(const std::shared_ptr<Eal>& eal,
                                             const AfPacketOptions& options) {
    VSMP_TRY_ASSIGN(const Interface interface, check_interface(options.interface));
    VSMP_TRY(check_permission());
    VSMP_TRY_ASSIGN(UniqueFd lock, lock_port("interface " + options.interface));

    const std::set<int> before = packet_sockets(interface.index);
    VSMP_TRY_ASSIGN(std::unique_ptr<DpdkDevice> device, add_device(eal, options.interface));
    int socket = -1;
    for (int fd : packet_sockets(interface.index))
        if (!before.contains(fd)) socket = fd;
    if (socket < 0) return Error{"the af_packet driver's socket was not found"};
    VSMP_TRY(attach_filter(socket));

    // The driver claims a largest frame of 1518 bytes whatever the interface's MTU: leave it alone.
    VSMP_TRY(device->start({.buffers = 1024, .room = kRingFrame}));
    // The driver opens its ring before it binds the socket, which hears all interfaces until then:
    // a peer's hello to another link of this node would look as if it had come by this one.
    device->discard(kRingFrames);
    return std::unique_ptr<Port>{
        std::make_unique<DpdkPort>(std::move(device), sleep_on_socket(socket), interface.mtu,
                                   "af_packet on " + options.interface, std::move(lock))};
}

}  // namespace vsmp::fabric
