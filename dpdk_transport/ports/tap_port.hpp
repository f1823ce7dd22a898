// A port whose frames are also written down: what tools/dev capture and vsmp-run --capture show.
#pragma once

#include <memory>

#include "dpdk_transport/port.hpp"
#include "dpdk_transport/ports/pcapng.hpp"

namespace vsmp::fabric {

// Writes in the thread that owns the port, which costs about a copy of each frame; what was written
// is in the file whenever that thread goes to sleep. Frames appear as they are handed to the port
// or come from it, so what is lost on the way is in the sender's file only.
std::unique_ptr<Port> tap_port(std::unique_ptr<Port> port, std::unique_ptr<PcapngFile> file);

}  // namespace vsmp::fabric
