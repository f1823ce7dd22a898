#include "kvm_glue/kick.hpp"

#include <signal.h>
#include <unistd.h>

#include <utility>

// Linux's name of the thread that SIGEV_THREAD_ID signals; glibc 2.36 has no macro for it.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace vsmp::kvm {
namespace {

int kick_signal() {
    return SIGRTMIN;
}

void on_kick(int, siginfo_t* info, void*) {
    const bool from_kick = info->si_code == SI_QUEUE && info->si_pid == ::getpid();
    const bool from_timer = info->si_code == SI_TIMER;
    if (!from_kick && !from_timer) return;  // somebody's kill(1): it carries no address
    __atomic_store_n(static_cast<std::uint8_t*>(info->si_value.sival_ptr), std::uint8_t{1},
                     __ATOMIC_RELAXED);
}

// ThreadSanitizer notes a signal that comes between two of its interceptors and runs the handler
// behind the next, which is the ioctl that enters the guest: immediate_exit would stay 0 and
// nothing end KVM_RUN. There a timer goes off again and again until it is set anew.
#ifdef __SANITIZE_THREAD__
constexpr timespec kRepeat{.tv_sec = 0, .tv_nsec = 10'000'000};
#else
constexpr timespec kRepeat{};
#endif

timespec to_timespec(Instant when) {
    using namespace std::chrono;
    const auto since_boot = when.time_since_epoch();
    const auto whole = duration_cast<seconds>(since_boot);
    return {.tv_sec = whole.count(), .tv_nsec = (since_boot - whole).count()};
}

}  // namespace

Result<void> install_kick_handler() {
    struct sigaction action {};
    action.sa_sigaction = on_kick;
    // KVM_RUN returns on a signal in any case; what else the thread may be doing goes on.
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (::sigaction(kick_signal(), &action, nullptr) != 0) return Error::from_errno("sigaction");
    return {};
}

Result<void> kick(pthread_t thread, std::uint8_t* immediate_exit) {
    // The handler will store it as well. But ThreadSanitizer runs handlers late, and then the
    // signal alone would not stop a thread that is about to enter the guest.
    __atomic_store_n(immediate_exit, std::uint8_t{1}, __ATOMIC_SEQ_CST);
    sigval value{};
    value.sival_ptr = immediate_exit;
    const int failed = ::pthread_sigqueue(thread, kick_signal(), value);
    // A full signal queue means that kicks are on their way to some thread, but maybe not to ours.
    if (failed != 0) return Error::from_errno("pthread_sigqueue", failed);
    return {};
}

Result<KickTimer> KickTimer::create_for_this_thread(std::uint8_t* immediate_exit) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = kick_signal();
    event.sigev_value.sival_ptr = immediate_exit;
    event.sigev_notify_thread_id = ::gettid();
    timer_t timer{};
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        return Error::from_errno("timer_create");
    return KickTimer(timer);
}

KickTimer::KickTimer(KickTimer&& other) noexcept
    : timer_(other.timer_), owned_(std::exchange(other.owned_, false)) {}

KickTimer& KickTimer::operator=(KickTimer&& other) noexcept {
    std::swap(timer_, other.timer_);
    std::swap(owned_, other.owned_);
    return *this;
}

KickTimer::~KickTimer() {
    if (owned_) ::timer_delete(timer_);
}

Result<void> KickTimer::arm(Instant when) {
    itimerspec setting{.it_interval = kRepeat, .it_value = {}};
    setting.it_value = to_timespec(when);
    // All zero would disarm.
    if (when.time_since_epoch().count() <= 0) setting.it_value = {.tv_sec = 0, .tv_nsec = 1};
    if (::timer_settime(timer_, TIMER_ABSTIME, &setting, nullptr) != 0)
        return Error::from_errno("timer_settime");
    return {};
}

Result<void> KickTimer::disarm() {
    const itimerspec never{};
    if (::timer_settime(timer_, 0, &never, nullptr) != 0) return Error::from_errno("timer_settime");
    return {};
}

}  // namespace vsmp::kvm
