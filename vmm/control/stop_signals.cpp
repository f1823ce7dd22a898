#include "vmm/control/stop_signals.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "proto/check.hpp"
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

}  // namespace

void end_at_once_on_signals() {
    for (const int signal : kStopSignals) {
        struct sigaction action {};
        action.sa_handler = end_at_once;
        ::sigaction(signal, &action, nullptr);
    }
}

StopSignals::StopSignals(std::initializer_list<int> signals) {
    ::sigemptyset(&signals_);
    for (const int signal : signals) ::sigaddset(&signals_, signal);
    VSMP_CHECK(::pthread_sigmask(SIG_BLOCK, &signals_, nullptr) == 0, "pthread_sigmask");
}

void StopSignals::listen(boost::asio::io_context& io, std::function<void(int)> handler) {
    const int fd = ::signalfd(-1, &signals_, SFD_NONBLOCK | SFD_CLOEXEC);
    VSMP_CHECK(fd >= 0, "signalfd");
    pending_.emplace(io, fd);
    pending_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [fd, handler = std::move(handler)](boost::system::error_code code) {
                             if (code) return;  // cancelled
                             signalfd_siginfo heard{};
                             VSMP_CHECK(::read(fd, &heard, sizeof heard) == sizeof heard,
                                        "signalfd said that there is a signal");
                             handler(static_cast<int>(heard.ssi_signo));
                         });
}

void StopSignals::cancel() {
    boost::system::error_code ignored;
    if (pending_) pending_->cancel(ignored);
}

}  // namespace vsmp::control
