// Runs one guest from start to end: nodes, console, control socket, signals. What vsmp-run does
// after it has read the XML and the boot files.
#pragma once

#include <chrono>
#include <string>

#include "vmm/control/preflight.hpp"

namespace vsmp::control {

// Exit status of vsmp-run: how the guest ended.
enum class RunStatus : int {
    powered_off = 0,
    usage = 2,        // the command line, the XML or a file it names is wrong
    reset = 3,        // the guest rebooted; there is no second boot yet
    crashed = 4,      // the guest did something that ends a machine (triple fault...)
    node_failed = 5,  // a node or its link failed or could not be reached
    stopped = 6,      // Ctrl-], vsmpctl stop, SIGINT, SIGTERM or SIGHUP
};

struct RunRequest {
    GuestConfig guest;  // placed: see place_nodes
    BootFiles files;
    std::chrono::seconds start_timeout{60};  // until all links are up
    std::string spread_marker;               // see SpreadPlan; empty: when the guest is at rest
    std::string node_program;                // path of vsmp-node
    CpuidIntersect intersect;
    int input_fd = 0, output_fd = 1;
};

// Runs on the calling thread, which must be the only one, until the guest has ended and nothing of
// it is left: children, interfaces, sockets. Says why on the log (one line for a failure).
RunStatus run_guest(RunRequest request);

}  // namespace vsmp::control
