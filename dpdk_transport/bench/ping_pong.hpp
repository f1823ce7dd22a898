// Round trips over a bare port, the floor under everything, with the frames that the fabric would
// send. One process pings, another echoes; both wait in the same way.
#pragma once

#include <cstddef>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/port.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

struct Waiting {
    // Polled for so long, then slept on. Duration::max(): polled for ever.
    Duration spin = std::chrono::microseconds(20);
};

struct PingPong {
    std::size_t payload = 4200;  // bytes of a message, 16..kMaxPayload; answered with as many
    std::size_t rounds = 2000;
    std::size_t warm_up = 100;  // rounds before that do not count
    Duration interval{};        // pause (asleep) between rounds; a fault comes every 300 us or so
    Waiting waiting;
};

class Latencies {
  public:
    explicit Latencies(std::vector<Duration> samples);
    std::size_t count() const { return sorted_.size(); }
    Duration median() const { return quantile(0.5); }
    Duration p99() const { return quantile(0.99); }
    Duration quantile(double q) const;  // q in 0..1; zero without samples
    const std::vector<Duration>& sorted() const { return sorted_; }

  private:
    std::vector<Duration> sorted_;
};

// The whole of what passes between the two: frames to the broadcast address, of our EtherType but
// of no protocol version, so that no fabric minds them. Lost ones are sent again after a second and
// not counted. An error when nobody answers for 10 s.
Result<Latencies> ping_port(Port& port, const PingPong& options);
// Ends the echo on the other side (a few frames; none of them is waited for).
void stop_echo(Port& port);
// Answers until told to stop; an error when nothing comes for 30 s.
Result<> echo_port(Port& port, const Waiting& waiting);

}  // namespace vsmp::fabric
