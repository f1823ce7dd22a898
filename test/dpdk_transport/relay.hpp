// A wire that misbehaves, by seed: carries our frames between two interfaces of this network
// namespace, and loses, doubles, delays, reorders and damages some of them.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "proto/fd.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

// Chances of each fault, per frame, 0..1.
struct WireFaults {
    double lose = 0, twice = 0, delay = 0, damage = 0;
    Duration longest_delay = std::chrono::milliseconds(3);  // overtaken by what comes meanwhile
    std::size_t largest = 1 << 16;  // frame that gets through, in bytes without FCS
    static WireFaults all(double chance) { return {chance, chance, chance, chance}; }
};

struct WireCounts {
    std::uint64_t carried = 0, lost = 0, doubled = 0, delayed = 0, damaged = 0, swallowed = 0;
};

class Relay {
  public:
    static Result<Relay> open(const std::string& one, const std::string& other,
                              const WireFaults& faults, std::uint64_t seed);

    // All relays of one loop: carry what is there and what is due, then wait for more for 10 ms at
    // most.
    static void turn(std::vector<Relay>& relays, Instant now);
    // From now on nothing gets through, or everything does again.
    enum class Cable : std::uint8_t { plugged, cut };
    void set(Cable cable) { cable_ = cable; }
    const WireCounts& counts() const { return counts_; }

  private:
    using Frame = std::vector<std::byte>;
    Relay(UniqueFd one, UniqueFd other, const WireFaults& faults, std::uint64_t seed)
        : sockets_{std::move(one), std::move(other)}, faults_(faults), random_(seed) {}
    bool happens(double chance) { return std::uniform_real_distribution<>{}(random_) < chance; }
    void carry(int to, Frame frame, Instant now);
    Duration carry_all(Instant now);  // how long there is nothing to do, unless frames come
    void put(int to, const Frame& frame);

    UniqueFd sockets_[2];
    WireFaults faults_;
    std::mt19937_64 random_;
    Cable cable_ = Cable::plugged;
    std::multimap<Instant, std::pair<int, Frame>> waiting_;
    WireCounts counts_;
};

}  // namespace vsmp::fabric
