// What the main() of every node program does: vsmp-node and the fake node of the tests.
#pragma once

#include "vmm/control/node_client.hpp"

namespace vsmp::control {

// Parses the command line (--control-fd N, --label TEXT) and serves one guest.
// Returns the exit status.
int node_main(int argc, char** argv, const NodeServices& services);

}  // namespace vsmp::control
