// vsmpd: lets vsmp-run on another host run nodes here.
#include <CLI/CLI.hpp>

#include "vmm/control/daemon.hpp"
#include "vmm/control/log.hpp"
#include "vmm/control/node_peer.hpp"
#include "vmm/control/run_options.hpp"

int main(int argc, char** argv) {
    vsmp::control::DaemonOptions options;
    options.node_program = vsmp::control::sibling_program("vsmp-node");
    std::string listen = options.address;
    CLI::App app{"Runs nodes of vsmp guests for vsmp-run on other hosts, until SIGINT or SIGTERM."};
    app.add_option("--listen", listen, "IP address and port to listen on: ADDR[:PORT]")
        ->capture_default_str();
    app.add_option("--max-nodes", options.max_nodes, "at most so many nodes at a time")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    app.add_option("--node-program", options.node_program, "the program that runs a node")
        ->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    vsmp::control::start_log("vsmpd");
    const auto [address, port] = vsmp::control::split_host(listen);
    int number = -1;
    if (!CLI::detail::lexical_cast(port, number) || number < 0 || number > 65535) {
        spdlog::error("--listen {}: '{}' is not a port", listen, port);
        return 2;
    }
    options.address = address;
    options.port = static_cast<std::uint16_t>(number);
    auto done = vsmp::control::run_daemon(options);
    if (!done) spdlog::error("{}", done.error().message);
    return done ? 0 : 1;
}
