#include "vmm/control/early_stop.hpp"

#include <signal.h>
#include <unistd.h>

#include <string_view>

#include "vmm/control/launcher.hpp"

namespace vsmp::control {
namespace {

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// Nothing here but what signal-safety(7) allows.
void end_at_once(int signal) {
    const auto say = [](std::string_view text) {
        [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    };
    const char digits[] = {static_cast<char>('0' + signal / 10),
                           static_cast<char>('0' + signal % 10)};
    say("vsmp-run: info: stopped by signal ");
    say(signal < 10 ? std::string_view{digits + 1, 1} : std::string_view{digits, 2});
    say("\n");
    ::_exit(static_cast<int>(RunStatus::stopped));
}

void mask_all(int how) {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : kStopSignals) ::sigaddset(&signals, signal);
    ::pthread_sigmask(how, &signals, nullptr);
}

}  // namespace

void end_at_once_on_signals() {
    for (const int signal : kStopSignals) {
        struct sigaction action {};
        action.sa_handler = end_at_once;
        ::sigaction(signal, &action, nullptr);
    }
}

StopLater::StopLater() {
    mask_all(SIG_BLOCK);
}
StopLater::~StopLater() {
    mask_all(SIG_UNBLOCK);
}

}  // namespace vsmp::control
