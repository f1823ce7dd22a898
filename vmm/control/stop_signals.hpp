// The signals that stop vsmp-run and vsmpd: before there is an event loop, and in it.
#pragma once

#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <initializer_list>
#include <optional>

namespace vsmp::control {

// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the program at once, with RunStatus::stopped
// and a line that says so. For the time in which nothing exists that would have to be taken down.
void end_at_once_on_signals();

// The program's way of hearing of signals once there is something to take down. They are blocked
// and read from a descriptor (signalfd(2)): no handler runs amid other code, and one that comes
// before anybody listens waits. Made on the main thread while it is the only one, for threads
// inherit what is blocked; so do children, which must unblock (ChildProcess does). They stay
// blocked when this object ends: the program is then about to, and in order.
class StopSignals {
  public:
    explicit StopSignals(std::initializer_list<int> signals);

    // Calls the handler once, on `io`, with the number of the first signal.
    void listen(boost::asio::io_context& io, std::function<void(int signal)> handler);
    void cancel();  // nobody is called any more

  private:
    sigset_t signals_;
    std::optional<boost::asio::posix::stream_descriptor> pending_;
};

}  // namespace vsmp::control
