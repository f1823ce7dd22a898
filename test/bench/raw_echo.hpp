// The floor: frames to and fro between two processes over a port like the product's, no more.
// Both processes stay for the whole bench, so that rounds of pings can alternate with the rest.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/fd.hpp"
#include "proto/result.hpp"
#include "test/bench/fault_run.hpp"

namespace vsmp::bench {

struct PingOrder {
    std::uint32_t payload = 0;  // bytes of a message, 16 or more
    std::uint32_t rounds = 0;
    std::uint32_t interval_us = 0;
    std::uint32_t spin_us = 0;  // polls so long before it sleeps; the echo 20 us
};

class RawEcho {
  public:
    // Forks: the calling process must have one thread only. Needs root for veth.
    static Result<std::unique_ptr<RawEcho>> start(PortKind port, const std::string& folder,
                                                  unsigned spin_us);
    ~RawEcho();  // ends and reaps both

    // Round trips in microseconds.
    Result<std::vector<double>> ping(const PingOrder& order);

  private:
    RawEcho(UniqueFd orders, UniqueFd answers, pid_t child)
        : orders_(std::move(orders)), answers_(std::move(answers)), child_(child) {}
    UniqueFd orders_, answers_;
    pid_t child_;
};

}  // namespace vsmp::bench
