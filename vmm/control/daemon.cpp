#include "vmm/control/daemon.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "proto/control.pb.h"
#include "vmm/control/process.hpp"
#include "vmm/control/stop_signals.hpp"
#include "vmm/control/stream.hpp"

namespace vsmp::control {
namespace {

using Tcp = asio::ip::tcp;

constexpr auto kHelloPatience = std::chrono::seconds(10);

// Says why in the terms of the protocol, so that vsmp-run can pass it on.
void refuse(asio::io_context& io, Tcp::socket socket, const std::string& why) {
    auto stream = std::make_shared<std::weak_ptr<MessageStream>>();
    // Whoever says nothing must not keep a descriptor.
    auto patience = std::make_shared<asio::steady_timer>(io, kHelloPatience);
    patience->async_wait([stream, patience](boost::system::error_code) {
        if (auto open = stream->lock()) open->close();
    });
    // Once its hello is here nothing unread is left that would turn our close into a reset.
    *stream =
        MessageStream::open(StreamSocket{std::move(socket)},
                            {.on_message = [stream, why](std::string_view) -> Result<void> {
                                 auto open = stream->lock();
                                 wire::FromNode message;
                                 message.mutable_hello()->set_protocol_version(kProtocolVersion);
                                 VSMP_TRY(open->send(message));
                                 message.mutable_failed()->set_message(why);
                                 VSMP_TRY(open->send(message));
                                 open->finish();
                                 return {};
                             },
                             .on_closed = [](const Error&) {}});
}

class Daemon {
  public:
    explicit Daemon(const DaemonOptions& options)
        : options_(options), acceptor_(io_), signals_({SIGINT, SIGTERM}) {}

    Result<void> run() {
        boost::system::error_code code;
        const auto address = asio::ip::make_address(options_.address, code);
        if (code) return Error{"'" + options_.address + "' is not an IP address"};
        const Tcp::endpoint endpoint{address, options_.port};
        acceptor_.open(endpoint.protocol(), code);
        if (!code) acceptor_.set_option(Tcp::acceptor::reuse_address{true}, code);
        if (!code) acceptor_.bind(endpoint, code);
        if (!code) acceptor_.listen(16, code);
        if (code)
            return Error{fmt::format("cannot listen on {} port {}: {}", options_.address,
                                     options_.port, code.message())};
        spdlog::info("listening on {} port {}", options_.address,
                     acceptor_.local_endpoint().port());
        if (!address.is_loopback())
            spdlog::warn(
                "connections are NOT encrypted and NOT authenticated: anyone who reaches "
                "this port can run guests here");
        signals_.listen(io_, [this](int) { io_.stop(); });
        accept();
        io_.run();
        spdlog::info("ending, {} nodes with it", nodes_.size());
        return {};
    }

  private:
    void accept() {
        acceptor_.async_accept([this](boost::system::error_code code, Tcp::socket socket) {
            if (code == asio::error::operation_aborted) return;
            if (!code) start_node(std::move(socket));
            accept();
        });
    }

    void start_node(Tcp::socket socket) {
        boost::system::error_code code;
        const auto peer = socket.remote_endpoint(code);
        if (code) return;  // gone already
        const std::string from = fmt::format("{}:{}", peer.address().to_string(), peer.port());
        if (nodes_.size() >= options_.max_nodes) {
            spdlog::warn("refused {}: {} nodes are running", from, nodes_.size());
            return refuse(io_, std::move(socket),
                          fmt::format("vsmpd runs {} nodes already, its limit", nodes_.size()));
        }
        socket.set_option(Tcp::no_delay{true}, code);
        UniqueFd fd{::fcntl(socket.native_handle(), F_DUPFD_CLOEXEC, 0)};
        if (fd.get() < 0) return spdlog::error("refused {}: no descriptor is free", from);
        auto child = ChildProcess::spawn(
            io_,
            {options_.node_program, "--control-fd", std::to_string(kInheritedFd), "--label", from},
            std::move(fd), -1);
        if (!child) {
            spdlog::error("{}", child.error().message);
            return refuse(io_, std::move(socket), child.error().message);
        }
        const pid_t pid = (*child)->pid();
        spdlog::info("node {} started for {}", pid, from);
        (*child)->when_ended([this, pid](const std::string& how) {
            spdlog::info("node {} {}", pid, how);
            asio::post(io_, [this, pid] { nodes_.erase(pid); });  // not inside its own call
        });
        nodes_.emplace(pid, *std::move(child));
    }

    DaemonOptions options_;
    asio::io_context io_{1};
    Tcp::acceptor acceptor_;
    StopSignals signals_;
    std::map<pid_t, std::unique_ptr<ChildProcess>> nodes_;
};

}  // namespace

Result<void> run_daemon(const DaemonOptions& options) {
    return Daemon{options}.run();
}

}  // namespace vsmp::control
