#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <utility>

#include "dpdk_transport/ports/dpdk_port.hpp"
#include "dpdk_transport/ports/vhost_reconnect.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::uint16_t kQueue = 0;

class SocketSleeper final : public Sleeper {
  public:
    explicit SocketSleeper(int socket) : socket_(socket) {}
    int fd() const override { return socket_; }
    // An interface that went down leaves an error, with which the socket is ready for ever.
    void arm() override {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    void disarm() override {}

  private:
    int socket_;
};

// The queue's interrupt is an eventfd (virtio_user) or an epoll descriptor of DPDK's around one
// (vhost), and nobody reads it: level-triggered it stays readable for ever after the first frame.
// So it is watched edge-triggered in an epoll descriptor of ours, which callers can poll like any
// other; waiting on ours without blocking takes the edge back.
class InterruptSleeper : public Sleeper {
  public:
    InterruptSleeper(std::uint16_t port, UniqueFd epoll) : port_(port), epoll_(std::move(epoll)) {}
    int fd() const final { return epoll_.get(); }

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

void set_timer(const UniqueFd& timer, Duration after) {
    itimerspec time{};
    time.it_value.tv_nsec = after.count();
    VSMP_CHECK(::timerfd_settime(timer.get(), 0, &time, nullptr) == 0, "timerfd_settime");
}

class VhostClientSleeper final : public InterruptSleeper {
  public:
    VhostClientSleeper(std::uint16_t port, UniqueFd epoll, UniqueFd timer)
        : InterruptSleeper(port, std::move(epoll)),
          port_(port),
          timer_(std::move(timer)),
          reconnect_(VhostReconnect::find()) {}

    void arm() override {
        InterruptSleeper::arm();
        rte_eth_link link{};
        if (!reconnect_.found() || rte_eth_link_get_nowait(port_, &link) != 0 || link.link_status)
            return;
        reconnect_.hurry();
        looking_ = true;
        set_timer(timer_, kLookForServer);
    }

    void disarm() override {
        if (std::exchange(looking_, false)) set_timer(timer_, Duration::zero());
        InterruptSleeper::disarm();
    }

  private:
    static constexpr Duration kLookForServer = std::chrono::milliseconds(20);
    std::uint16_t port_;
    UniqueFd timer_;  // in the epoll descriptor, too
    VhostReconnect reconnect_;
    bool looking_ = false;
};

// For a device without interrupts: looks again after a while.
class TimerSleeper final : public Sleeper {
  public:
    TimerSleeper(Duration nap, UniqueFd timer) : nap_(nap), timer_(std::move(timer)) {}
    int fd() const override { return timer_.get(); }
    void arm() override { set_timer(timer_, nap_); }
    void disarm() override { set_timer(timer_, Duration::zero()); }  // also makes it unreadable

  private:
    Duration nap_;
    UniqueFd timer_;
};

Result<UniqueFd> new_timer() {
    UniqueFd timer{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    if (!timer) return Error::from_errno("timerfd_create");
    return timer;
}

}  // namespace

Result<std::unique_ptr<Sleeper>> sleep_on_timer(Duration nap) {
    VSMP_CHECK(nap > Duration::zero() && nap < std::chrono::seconds(1), "nap");
    VSMP_TRY_ASSIGN(UniqueFd timer, new_timer());
    return std::unique_ptr<Sleeper>{std::make_unique<TimerSleeper>(nap, std::move(timer))};
}

std::unique_ptr<Sleeper> sleep_on_socket(int socket) {
    return std::make_unique<SocketSleeper>(socket);
}

Result<std::unique_ptr<Sleeper>> sleep_on_interrupt(std::uint16_t port) {
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    return std::unique_ptr<Sleeper>{std::make_unique<InterruptSleeper>(port, std::move(epoll))};
}

Result<std::unique_ptr<Sleeper>> sleep_on_vhost_client(std::uint16_t port) {
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    VSMP_TRY_ASSIGN(UniqueFd timer, new_timer());
    epoll_event interest{};
    interest.events = EPOLLIN;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &interest) != 0)
        return Error::from_errno("epoll_ctl");
    return std::unique_ptr<Sleeper>{
        std::make_unique<VhostClientSleeper>(port, std::move(epoll), std::move(timer))};
}

}  // namespace vsmp::fabric
