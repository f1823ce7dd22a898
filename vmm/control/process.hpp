// Child processes: started with one inherited descriptor, watched, and never left behind.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/fd.hpp"
#include "proto/result.hpp"

namespace vsmp::control {

namespace asio = boost::asio;

// The descriptor number under which a child finds what it was given.
inline constexpr int kInheritedFd = 3;

// A child in a session of its own (the terminal's Ctrl-C is ours, not its), killed by the kernel
// when the thread that started it ends, and by the destructor. Its stdin is /dev/null, its stdout
// our stderr. Used on the io_context's thread.
class ChildProcess {
  public:
    // `inherited` becomes kInheritedFd; every other descriptor of ours is closed in the child.
    // `net_namespace` is a descriptor of the network namespace to run in, or -1: ours.
    static Result<std::unique_ptr<ChildProcess>> spawn(asio::io_context& io,
                                                       const std::vector<std::string>& command,
                                                       UniqueFd inherited, int net_namespace);
    ~ChildProcess();
    ChildProcess(const ChildProcess&) = delete;

    pid_t pid() const { return pid_; }
    bool running() const { return pid_ > 0; }
    // Calls back once when the child has ended, with how: "exited with status 1", "was killed by
    // signal 9 (Killed)".
    void when_ended(std::function<void(std::string how)> handler);
    void kill_now();  // SIGKILL; when_ended still reports

  private:
    ChildProcess(asio::io_context& io, pid_t pid, int pidfd) : pid_(pid), exit_(io, pidfd) {}
    pid_t pid_;
    asio::posix::stream_descriptor exit_;  // pidfd: readable when the child has ended
};

// Runs a command to its end with `input` (at most 64 KiB) on its stdin. An error carries what it
// wrote to stderr. Blocks; for commands that are over at once.
Result<void> run_command(const std::vector<std::string>& command, const std::string& input);

}  // namespace vsmp::control
