// Ethernet in virtual time, from a seed: segments that lose, double, delay, reorder and damage
// frames, swallow large ones, part and are cut; and the ports on them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <vector>

#include "dpdk_transport/port.hpp"
#include "proto/fd.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

struct Weather {
    double loss = 0, doubled = 0, delayed = 0, damaged = 0;  // chances per frame
    Duration latency{}, jitter{}, long_delay{};
};

class SimWire {
  public:
    struct Options {
        std::size_t nodes = 2, segments = 1;
        std::size_t ring = 512;                 // frames that wait at a port
        std::vector<std::size_t> mtus = {};     // by segment, of its ports
        std::vector<std::size_t> carries = {};  // by segment; larger frames vanish
    };
    struct Counts {
        std::uint64_t frames = 0, lost = 0, damaged = 0, overrun = 0, swallowed = 0;
    };

    SimWire(const Options& options, std::uint64_t seed);

    std::unique_ptr<Port> port(std::size_t node, std::size_t segment);
    void set_weather(const Weather& weather) { weather_ = weather; }
    // Cut: nothing passes between this node and the others on the segment.
    void cut(std::size_t node, std::size_t segment, bool is_cut);
    // The node's ports forget what waits at them.
    void crash(std::size_t node);

    Instant now() const { return now_; }
    std::optional<Instant> next_arrival() const;
    // Moves on to `now`; frames that have arrived by then wait at their ports.
    void advance(Instant now);
    bool anything_waits(std::size_t node) const;
    const Counts& counts() const { return counts_; }
    // Most data frames, not repeated ones, that ever waited at one port.
    std::size_t most_waiting() const { return most_waiting_; }

  private:
    friend class SimPort;
    using Bytes = std::vector<std::byte>;
    enum class Copy : std::uint8_t { first, again };  // again: the wire's doing, or a repetition
    struct Flight {
        Instant at;
        std::uint64_t number;  // ties are broken the same way in each run
        std::uint32_t end;
        Copy copy;
        Bytes bytes;
        bool operator>(const Flight& other) const {
            return at != other.at ? at > other.at : number > other.number;
        }
    };
    struct Waiting {
        Copy copy;
        Bytes bytes;
    };
    struct End {
        std::deque<Waiting> frames;
        std::size_t first_copies = 0;  // of data
        bool cut = false;
        UniqueFd event;
    };

    bool chance(double p) { return p > 0 && std::uniform_real_distribution<>{}(random_) < p; }
    Duration up_to(Duration longest);
    std::size_t index(std::size_t node, std::size_t segment) const {
        return segment * options_.nodes + node;
    }
    void send(std::size_t node, std::size_t segment, ByteView header, ByteView body);
    void fly(std::size_t end, ByteView header, ByteView body, Copy copy);
    std::size_t receive(std::size_t end, const Port::Receive& receive);
    Bytes buffer();

    Options options_;
    std::mt19937_64 random_;
    Weather weather_;
    std::vector<End> ends_;
    std::vector<Flight> wire_;  // a heap, the next arrival first
    std::vector<Bytes> spare_;
    std::uint64_t flights_ = 0;
    Instant now_{};
    Counts counts_;
    std::size_t most_waiting_ = 0;
};

}  // namespace vsmp::fabric
