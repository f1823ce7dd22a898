// The socket on which vsmpctl talks to a running vsmp-run. One request per connection.
// Used on the io_context's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/control.pb.h"
#include "vmm/control/runtime_directory.hpp"
#include "vmm/control/stream.hpp"

namespace vsmp::control {

class ControlServer {
  public:
    using Reply = std::function<void(const wire::ControlReply&)>;
    // Called for each request; `reply` may be called later, once.
    using Handler = std::function<void(const wire::ControlRequest&, Reply reply)>;

    // Claims the guest's name (an error when it runs already) and listens at its path. A socket
    // that a killed vsmp-run left there is replaced.
    static Result<std::unique_ptr<ControlServer>> listen(asio::io_context& io,
                                                         const std::string& guest, Handler handler);
    ~ControlServer();  // removes the socket

  private:
    using Local = asio::local::stream_protocol;
    struct Session;
    ControlServer(asio::io_context& io, std::string path, GuestClaim claim, Handler handler);
    void accept();
    void serve(Local::socket socket);
    void forget(const Session* session);

    GuestClaim claim_;  // given up last
    Local::acceptor acceptor_;
    std::string path_;
    Handler handler_;
    std::vector<std::shared_ptr<Session>> sessions_;
    bool listening_ = false;
};

}  // namespace vsmp::control
