#include "vmm/control/node_main.hpp"

#include <signal.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>

#include "vmm/control/log.hpp"

namespace vsmp::control {
namespace {

Result<int> family_of(int fd) {
    int family = 0;
    socklen_t size = sizeof family;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0)
        return Error::from_errno("--control-fd " + std::to_string(fd));
    return family;
}

}  // namespace

int node_main(int argc, char** argv, const NodeServices& services) {
    CLI::App app{"One node of a vsmp guest; started by vsmp-run and vsmpd, not by hand."};
    int control_fd = -1;
    std::string label;
    app.add_option("--control-fd", control_fd, "descriptor of the connection to vsmp-run")
        ->required();
    app.add_option("--label", label, "who this is, for messages and ps");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    start_log("vsmp-node " + label);
    ::signal(SIGPIPE, SIG_IGN);
    auto family = family_of(control_fd);
    if (!family) {
        spdlog::error("{}", family.error().message);
        return 2;
    }
    asio::io_context io{1};
    StreamSocket socket{io, asio::generic::stream_protocol{*family, 0}, control_fd};
    switch (serve_node(std::move(socket), io, services)) {
        case NodeExit::stopped:
            return 0;
        case NodeExit::orphaned:
            spdlog::warn("lost the connection to vsmp-run; ending");
            return 1;
        case NodeExit::failed:
            return 1;
    }
    return 1;
}

}  // namespace vsmp::control
