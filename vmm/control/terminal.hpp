// The guest's console on our stdin and stdout.
//
// A terminal is put in raw mode while this object lives and restored by its destructor, and when
// the process dies of a fault. Output that a stopped terminal does not take is kept up to a bound
// and then dropped. Used on the io_context's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "proto/result.hpp"

namespace vsmp::control {

namespace asio = boost::asio;

struct TerminalHandlers {
    // Typed bytes. More is read when `resume` is called, once they are on their way.
    std::function<void(std::string bytes, std::function<void()> resume)> on_input;
    std::function<void()> on_leave;  // Ctrl-] on a terminal
};

class Terminal {
  public:
    Terminal(asio::io_context& io, int input_fd, int output_fd, TerminalHandlers handlers);
    ~Terminal();
    Terminal(const Terminal&) = delete;

    void write(std::string bytes);
    // True when everything written has been taken, or can never be.
    bool flushed() const;
    void when_flushed(std::function<void()> handler);
    bool is_terminal() const;

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace vsmp::control
