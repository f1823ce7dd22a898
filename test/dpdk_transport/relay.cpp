#include "test/dpdk_transport/relay.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include "dpdk_transport/core/frame.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

constexpr int kBurst = 64;

Result<UniqueFd> raw_socket(const std::string& interface) {
    UniqueFd socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return Error::from_errno("socket(AF_PACKET)");
    const int room = 64 << 20;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    const int on = 1;
    ::setsockopt(socket.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kEtherType);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return Error::from_errno("bind to " + interface);
    return socket;
}

}  // namespace

Result<Relay> Relay::open(const std::string& one, const std::string& other,
                          const WireFaults& faults, std::uint64_t seed) {
    VSMP_TRY_ASSIGN(UniqueFd first, raw_socket(one));
    VSMP_TRY_ASSIGN(UniqueFd second, raw_socket(other));
    return Relay{std::move(first), std::move(second), faults, seed};
}

void Relay::put(int to, const Frame& frame) {
    // A full queue loses frames, as wires do.
    if (::send(sockets_[to].get(), frame.data(), frame.size(), MSG_DONTWAIT) < 0) ++counts_.lost;
    ++counts_.carried;
}

void Relay::carry(int to, Frame frame, Instant now) {
    if (cable_ == Cable::cut || happens(faults_.lose)) {
        ++counts_.lost;
        return;
    }
    if (frame.size() > faults_.largest) {
        ++counts_.swallowed;
        return;
    }
    if (happens(faults_.damage)) {
        const std::size_t first = 8 * kEthernetHeaderSize;
        const std::size_t bit = first + random_() % (8 * frame.size() - first);
        frame[bit / 8] ^= std::byte{1} << bit % 8;
        ++counts_.damaged;
    }
    if (happens(faults_.twice)) {
        put(to, frame);
        ++counts_.doubled;
    }
    if (happens(faults_.delay)) {
        const auto most = static_cast<std::uint64_t>(faults_.longest_delay.count());
        waiting_.emplace(now + std::chrono::nanoseconds(random_() % most),
                         std::pair{to, std::move(frame)});
        ++counts_.delayed;
        return;
    }
    put(to, frame);
}

Duration Relay::carry_all(Instant now) {
    Duration wait = 10ms;
    for (int from = 0; from < 2; ++from)
        for (int i = 0; i < kBurst; ++i) {
            Frame frame(kMaxHeaderSize + kMaxPayload + 64);
            const ssize_t got =
                ::recv(sockets_[from].get(), frame.data(), frame.size(), MSG_DONTWAIT);
            if (got <= 0) break;
            frame.resize(static_cast<std::size_t>(got));
            carry(1 - from, std::move(frame), now);
            wait = Duration::zero();
        }
    while (!waiting_.empty() && waiting_.begin()->first <= now) {
        put(waiting_.begin()->second.first, waiting_.begin()->second.second);
        waiting_.erase(waiting_.begin());
    }
    if (!waiting_.empty()) wait = std::min(wait, waiting_.begin()->first - now);
    return std::max(wait, Duration::zero());
}

void Relay::turn(std::vector<Relay>& relays, Instant now) {
    Duration wait = 10ms;
    std::vector<pollfd> ready;
    for (Relay& relay : relays) {
        wait = std::min(wait, relay.carry_all(now));
        for (const UniqueFd& socket : relay.sockets_) ready.push_back({socket.get(), POLLIN, 0});
    }
    if (wait == Duration::zero()) return;
    const timespec timeout{0, wait.count()};
    ::ppoll(ready.data(), ready.size(), &timeout, nullptr);
}

}  // namespace vsmp::fabric
