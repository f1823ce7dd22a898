#include "dpdk_transport/ports/vhost_hang_up.hpp"

#include <rte_alarm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <future>

#include "proto/check.hpp"

namespace vsmp::fabric {
namespace {

// An alarm of the driver's is due a microsecond after it was set: before one of ours that is set
// later.
constexpr std::uint64_t kAlarmUs = 1000;
constexpr int kRounds = 500;

// Whether `fd` is a connection that was accepted at `socket`.
bool is_accepted_at(const std::string& socket, int fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens != 0)
        return false;
    sockaddr_un address{};
    size = sizeof address;
    return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
           address.sun_family == AF_UNIX &&
           socket ==
               std::string{address.sun_path, ::strnlen(address.sun_path, sizeof address.sun_path)};
}

struct Round {
    const std::string& socket;
    std::promise<bool> connected;
};

// On the interrupt thread, which is also the one that closes these connections: none of them is
// closed, and its number taken for something else, between the look and the shutdown.
void hang_up_there(void* argument) {
    auto& round = *static_cast<Round*>(argument);
    bool connected = false;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd", none}) {
        const std::string name = entry.path().filename();
        int fd = -1;
        std::from_chars(name.data(), name.data() + name.size(), fd);
        if (!is_accepted_at(round.socket, fd)) continue;
        connected = true;
        ::shutdown(fd, SHUT_RDWR);  // the driver sees an end of file, as if the peer had gone
    }
    round.connected.set_value(connected);
}

bool is_connected(const std::string& socket) {
    Round round{socket, {}};
    auto connected = round.connected.get_future();
    VSMP_CHECK(rte_eal_alarm_set(kAlarmUs, hang_up_there, &round) == 0, "an alarm of EAL's");
    return connected.get();
}

}  // namespace

void hang_up(const std::string& socket) {
    ::unlink(socket.c_str());  // nobody finds it any more
    // The first round without a connection may have alarms of the driver's behind it, and a peer
    // that connected before the file was gone may be let in by them; the second one has neither.
    // A connection that the driver failed to set up stays for ever, but nothing watches that one.
    for (int round = 0, quiet = 0; round < kRounds && quiet < 2; ++round)
        quiet = is_connected(socket) ? 0 : quiet + 1;
}

}  // namespace vsmp::fabric
