// How the nodes of a guest talk to each other, beyond which links they use: <vsmp:fabric>.
#pragma once

#include <optional>
#include <string>

#include "dpdk_transport/scheduling.hpp"
#include "proto/time.hpp"

namespace vsmp {

struct FabricConfig {
    // How long a data plane polls before it sleeps. None: 20 us where the host has a CPU for every
    // thread that wants one, else not at all.
    std::optional<Duration> spin;
    fabric::Scheduling scheduling = fabric::Scheduling::automatic;
    std::string key_file;        // on each host, absolute; empty: frames are not sealed
    std::string capture_folder;  // each node writes its frames to node-ID.pcapng there; empty: none
};

inline constexpr Duration kMaxSpin = std::chrono::seconds(1);

}  // namespace vsmp
