#include <poll.h>
#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <unistd.h>

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

// The queue's interrupt is an eventfd that somebody has to read, or it stays readable for ever
// (rte_epoll_wait does that in a callback). It can change when a vhost peer reconnects, so callers
// get an epoll descriptor that holds whichever is current.
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
        interest.events = EPOLLIN;
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, event, &interest) == 0) event_ = event;
    }

    void drain() {
        if (event_ < 0) return;
        pollfd ready{event_, POLLIN, 0};
        std::uint64_t count = 0;
        if (::poll(&ready, 1, 0) == 1 && ::read(event_, &count, sizeof count) < 0)
            VSMP_CHECK(errno == EAGAIN || errno == EBADF, "reading an interrupt's eventfd");
    }

    std::uint16_t port_;
    UniqueFd epoll_;
    int event_ = -1;  // DPDK's
};

}  // namespace

std::unique_ptr<Sleeper> sleep_on_socket(int socket) {
    return std::make_unique<SocketSleeper>(socket);
}

Result<std::unique_ptr<Sleeper>> sleep_on_interrupt(std::uint16_t port) {
    UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
    if (!epoll) return Error::from_errno("epoll_create1");
    return std::unique_ptr<Sleeper>{std::make_unique<InterruptSleeper>(port, std::move(epoll))};
}

}  // namespace vsmp::fabric
