#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "dpdk_transport/ports/dpdk_port.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::uint16_t kQueue = 0;

class SocketSleeper final : public Sleeper {
  public:
    explicit SocketSleeper(int socket) : socket_(socket) {}
    int fd() const override { return socket_; }
    void arm() override {}
    void disarm() override {}

  private:
    int socket_;
};

// The queue's interrupt is an eventfd (virtio_user) or an epoll descriptor of DPDK's around one
// (vhost), and nobody reads it: level-triggered it stays readable for ever after the first frame.
// So it is watched edge-triggered in an epoll descriptor of ours, which callers can poll like any
// other; waiting on ours without blocking takes the edge back.
class InterruptSleeper final : public Sleeper {
  public:
    InterruptSleeper(std::uint16_t port, UniqueFd epoll) : port_(port), epoll_(std::move(epoll)) {}
    int fd() const override { return epoll_.get(); }

    void arm() override {
        watch(rte_eth_dev_rx_intr_ctl_q_get_fd(port_, kQueue));
        drain();
        rte_eth_dev_rx_intr_enable(port_, kQueue);
    }

    void disarm() override {
        rte_eth_dev_rx_intr_disable(port_, kQueue);
        drain();
    }

  private:
    void watch(int event) {
        if (event == event_) return;
        // Fails when the old one has been closed meanwhile, which takes it out as well.
        if (event_ >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, event_, nullptr);
        event_ = -1;
        if (event < 0) return;  // no peer yet
        epoll_event interest{};
        interest.events = EPOLLIN | EPOLLET;
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, event, &interest) == 0) event_ = event;
    }

    void drain() {
        epoll_event edge{};
        VSMP_CHECK(::epoll_wait(epoll_.get(), &edge, 1, 0) >= 0 || errno == EINTR, "epoll_wait");
    }

    std::uint16_t port_;
    UniqueFd epoll_;
    int event_ = -1;  // DPDK's
};

// For a device without interrupts: looks again after a while.
class TimerSleeper final : public Sleeper {
  public:
    TimerSleeper(Duration shortest, Duration longest, UniqueFd timer)
        : shortest_(shortest), longest_(longest), timer_(std::move(timer)) {}
    int fd() const override { return timer_.get(); }
    void arm() override {
        set(nap_);
        nap_ = std::min(2 * nap_, longest_);
    }
    void on_traffic() override { nap_ = shortest_; }
    void disarm() override { set(Duration::zero()); }  // also makes it unreadable

  private:
    void set(Duration after) {
        itimerspec time{};
        time.it_value.tv_nsec = after.count();
        VSMP_CHECK(::timerfd_settime(timer_.get(), 0, &time, nullptr) == 0, "timerfd_settime");
    }
    Duration shortest_, longest_;
    Duration nap_ = shortest_;  // the next
    UniqueFd timer_;
};

}  // namespace

Result<std::unique_ptr<Sleeper>> sleep_on_timer(Duration shortest, Duration longest) {
    VSMP_CHECK(
        shortest > Duration::zero() && longest >= shortest && longest < std::chrono::seconds(1),
        "naps");
    UniqueFd timer{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    if (!timer) return Error::from_errno("timerfd_create");
    return std::unique_ptr<Sleeper>{
        std::make_unique<TimerSleeper>(shortest, longest, std::move(timer))};
}

std::unique_ptr<Sleeper> sleep_on_socket(int socket) {
    return std::make_unique<SocketSleeper>(socket);
}

Result<std::unique_ptr<Sleeper>> sleep_on_interrupt(std::uint16_t port) {
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    return std::unique_ptr<Sleeper>{std::make_unique<InterruptSleeper>(port, std::move(epoll))};
}

}  // namespace vsmp::fabric
