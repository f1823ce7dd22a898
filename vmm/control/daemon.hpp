// vsmpd: starts a vsmp-node for each vsmp-run that connects, and hands it the connection.
#pragma once

#include <string>

#include "proto/result.hpp"
#include "vmm/control/protocol.hpp"

namespace vsmp::control {

struct DaemonOptions {
    std::string address = "127.0.0.1";
    std::uint16_t port = kDefaultPort;  // 0: any; the log says which
    std::size_t max_nodes = 8;
    std::string node_program;
};

// Serves on the calling thread, which must be the only one, until SIGINT or SIGTERM; its nodes
// then end with it.
Result<void> run_daemon(const DaemonOptions& options);

}  // namespace vsmp::control
