#include "dpdk_transport/ports/vhost_reconnect.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>

namespace vsmp::fabric {
namespace {

constexpr const char* kThreadName = "vhost_reconn";
// Ignored by who does not handle it, so that a stray one harms nobody.
constexpr int kSignal = SIGURG;

void do_nothing(int) {}

// Only a signal with a handler ends a sleep. False: somebody else has use for it.
bool take_signal() {
    struct sigaction current {};
    if (::sigaction(kSignal, nullptr, &current) != 0) return false;
    if (current.sa_handler == do_nothing) return true;
    if (current.sa_handler != SIG_DFL) return false;
    struct sigaction ours {};
    ours.sa_handler = do_nothing;  // without SA_RESTART
    return ::sigaction(kSignal, &ours, nullptr) == 0;
}

}  // namespace

VhostReconnect VhostReconnect::find() {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/task", none}) {
        std::string name;
        std::ifstream{entry.path() / "comm"} >> name;
        if (name != kThreadName || !take_signal()) continue;
        const std::string number = entry.path().filename();
        pid_t thread = 0;
        std::from_chars(number.data(), number.data() + number.size(), thread);
        return VhostReconnect{thread};
    }
    return VhostReconnect{0};
}

void VhostReconnect::hurry() const {
    if (found()) ::syscall(SYS_tgkill, ::getpid(), thread_, kSignal);
}

}  // namespace vsmp::fabric
