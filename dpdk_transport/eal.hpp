// DPDK's environment of this process.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "proto/result.hpp"

namespace vsmp::fabric {

struct EalOptions {
    std::size_t memory_mib = 192;          // for frame buffers: about 20 MiB a port
    std::vector<std::string> pci_devices;  // addresses to drive; none: PCI is not touched
};

// DPDK allows it once in the life of a process: a second start() is an error, also after the first
// has been destroyed. Ports keep it alive. Starts DPDK's own two helper threads; the affinity of
// the calling thread is left as it was. SIGPIPE is ignored from then on: DPDK writes to vhost-user
// sockets whose peer may have died. Needs no privilege and no hugepages (PCI devices under
// uio_pci_generic do need hugepages, and get them from the host's pool).
class Eal {
  public:
    static Result<std::shared_ptr<Eal>> start(const EalOptions& options);
    Eal(const Eal&) = delete;
    Eal& operator=(const Eal&) = delete;
    ~Eal();

    // The first line that DPDK logged as a warning or error since the last call, for error
    // messages; empty when there is none. Any thread.
    std::string take_log_line();

  private:
    class Log;
    explicit Eal(std::unique_ptr<Log> log);
    std::unique_ptr<Log> log_;
};

}  // namespace vsmp::fabric
