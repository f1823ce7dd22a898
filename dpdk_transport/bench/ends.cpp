#include "dpdk_transport/bench/ends.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <thread>

#include "dpdk_transport/bench/network_sandbox.hpp"
#include "dpdk_transport/crypto/aead_sealer.hpp"
#include "dpdk_transport/ports/memory_port.hpp"
#include "dpdk_transport/ports/open_port.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

constexpr const char* kInterface[2] = {"bench0", "bench1"};
constexpr const char* kAddress[2] = {"10.77.0.1", "10.77.0.2"};
constexpr const char* kLoopback = "127.0.0.1";

PortOptions port_options(const Stage& stage, int self) {
    if (stage.port == BenchPort::af_packet) return AfPacketOptions{kInterface[self]};
    VhostUserOptions options;
    options.socket = stage.folder + "/link";
    options.role = self == 0 ? VhostRole::server : VhostRole::client;
    return options;
}

sockaddr_in address_of(const Stage& stage, int self, std::uint32_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const bool loopback = stage.port != BenchPort::af_packet;
    VSMP_CHECK(::inet_pton(AF_INET, loopback ? kLoopback : kAddress[self], &address.sin_addr) == 1,
               "an address of ours");
    return address;
}

Result<UniqueFd> bound_socket(const Stage& stage, int self, int type) {
    UniqueFd socket{::socket(AF_INET, type | SOCK_CLOEXEC, 0)};
    if (!socket) return Error::from_errno("socket");
    const sockaddr_in address = address_of(stage, self, 0);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return Error::from_errno("bind");
    return socket;
}

Result<std::uint32_t> port_number(const UniqueFd& socket) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return Error::from_errno("getsockname");
    return ntohs(address.sin_port);
}

Result<> connect_to(const Stage& stage, const UniqueFd& socket, int other, std::uint32_t port) {
    const sockaddr_in address = address_of(stage, other, port);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return {};
    return Error::from_errno("connect");
}

Result<UniqueFd> udp_socket(const Stage& stage, Meeting& meeting) {
    const int self = meeting.self();
    VSMP_TRY_ASSIGN(UniqueFd socket, bound_socket(stage, self, SOCK_DGRAM));
    const int room = 8 << 20;  // the rings of the ports hold as much
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    VSMP_TRY_ASSIGN(const std::uint32_t own, port_number(socket));
    // Each tells the other its number, through the one field, in turn.
    std::uint32_t theirs = 0;
    for (int turn = 0; turn < 2; ++turn) {
        if (turn == self) meeting.shared().udp_port = own;
        VSMP_TRY(meeting.meet());
        if (turn != self) theirs = meeting.shared().udp_port;
        VSMP_TRY(meeting.meet());
    }
    VSMP_TRY(connect_to(stage, socket, 1 - self, theirs));
    return socket;
}

Result<UniqueFd> tcp_socket(const Stage& stage, Meeting& meeting) {
    VSMP_TRY_ASSIGN(UniqueFd socket, bound_socket(stage, meeting.self(), SOCK_STREAM));
    if (meeting.self() == 0) {
        if (::listen(socket.get(), 1) != 0) return Error::from_errno("listen");
        VSMP_TRY_ASSIGN(meeting.shared().tcp_port, port_number(socket));
        VSMP_TRY(meeting.meet());
        VSMP_TRY(meeting.meet());  // the other has connected: accept() does not wait
        socket = UniqueFd{::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        if (!socket) return Error::from_errno("accept");
    } else {
        VSMP_TRY(meeting.meet());
        VSMP_TRY(connect_to(stage, socket, 0, meeting.shared().tcp_port));
        VSMP_TRY(meeting.meet());
    }
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return socket;
}

std::unique_ptr<FrameSealer> make_sealer(int self) {
    KeyRing keys;
    keys.keys.push_back({.id = 1, .bytes = {}});  // any key costs the same
    return make_aead_sealer({.self = NodeId{static_cast<std::uint8_t>(self)},
                             .guest = 1,
                             .keys = std::move(keys),
                             .newer_keys = {},
                             .session_clock = {},
                             .clock = {}});
}

// The fabric has the port for itself, as in a node; the others use it while it says nothing.
Result<> add_wires(const Stage& stage, End& end, int self, std::unique_ptr<Port> owned,
                   const MacAddress& peer) {
    Port& port = *owned;
    VSMP_TRY_ASSIGN(auto fabric, fabric_wire("fabric", std::move(owned), self));
    end.wires.push_back(std::move(fabric));
    end.wires.insert(end.wires.begin(), bare_port_wire(port, peer));
    VSMP_TRY_ASSIGN(auto sealed,
                    fabric_wire("fabric_sealed", borrowed(port), self, make_sealer(self)));
    end.wires.push_back(std::move(sealed));
    end.wires.push_back(shared_memory_wire(stage.rings, self));
    return {};
}

}  // namespace

std::string to_string(BenchPort port) {
    switch (port) {
        case BenchPort::memory:
            return "memory";
        case BenchPort::vhost_user:
            return "vhost-user";
        case BenchPort::af_packet:
            return "af_packet";
    }
    VSMP_CHECK(false, "port");
    return {};
}

End::~End() {
    while (!wires.empty()) wires.pop_back();
}

Wire* End::find(const std::string& name) {
    for (auto& wire : wires)
        if (wire->name() == name) return wire.get();
    return nullptr;
}

std::string prepare(const Stage& stage) {
    if (stage.port == BenchPort::memory) return {};
    std::string problem = enter_network_sandbox();
    // Loopback serves as well, when nobody else's packets have to be kept away.
    if (stage.port == BenchPort::vhost_user) {
        if (problem.empty()) run_command("ip link set lo up");
        return {};
    }
    if (!problem.empty()) return problem;
    if (!add_veth(kInterface[0], kInterface[1])) return "no veth pair can be made";
    if (!run_command(std::string{"ip addr add "} + kAddress[0] + "/24 dev " + kInterface[0]))
        return "no address for the veth pair";
    return {};
}

Result<> hand_over_link(const Stage& stage, pid_t other) {
    if (stage.port != BenchPort::af_packet) return {};
    if (run_command(std::string{"ip link set "} + kInterface[1] + " netns " +
                    std::to_string(other)))
        return {};
    return Error{"a veth end cannot be given to another namespace"};
}

Result<> enter_other_side(const Stage& stage) {
    if (stage.port != BenchPort::af_packet) return {};
    if (::unshare(CLONE_NEWNET) != 0) return Error::from_errno("unshare(CLONE_NEWNET)");
    return {};
}

Result<End> open_end(const Stage& stage, Meeting& meeting) {
    const int self = meeting.self();
    if (stage.port == BenchPort::af_packet && self == 1 &&
        !run_command(std::string{"ip addr add "} + kAddress[1] + "/24 dev " + kInterface[1] +
                     " && ip link set " + kInterface[1] + " up"))
        return Error{"the veth end did not arrive"};
    VSMP_TRY(meeting.meet());
    End end;
    VSMP_TRY_ASSIGN(end.eal, Eal::start({}));
    VSMP_TRY_ASSIGN(auto port, open_port(end.eal, port_options(stage, self)));
    VSMP_TRY_ASSIGN(const MacAddress peer, meeting.exchange_mac(port->mac()));
    VSMP_TRY(add_wires(stage, end, self, std::move(port), peer));
    VSMP_TRY_ASSIGN(UniqueFd udp, udp_socket(stage, meeting));
    end.wires.push_back(udp_wire(std::move(udp)));
    VSMP_TRY_ASSIGN(UniqueFd tcp, tcp_socket(stage, meeting));
    end.wires.push_back(tcp_wire(std::move(tcp)));
    return end;
}

Result<std::vector<End>> open_memory_ends(const Stage& stage) {
    auto ports = make_memory_segment(2);
    std::vector<End> ends(2);
    const std::array macs{ports[0]->mac(), ports[1]->mac()};
    for (std::size_t i = 0; i < 2; ++i)
        VSMP_TRY(add_wires(stage, ends[i], static_cast<int>(i), std::move(ports[i]), macs[1 - i]));
    return ends;
}

}  // namespace vsmp::fabric
