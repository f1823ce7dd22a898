// Links of 2 to 4 nodes on a network that loses, doubles, delays, reorders, parts and stalls, in
// virtual time. Every message must arrive once and in order, and every buffer stay bounded.
//
//   test_link_sim [--seeds N] [--seed S]     S: replay one, with its figures
#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <map>
#include <optional>
#include <queue>
#include <random>

#include "dpdk_transport/core/link.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

std::optional<std::uint64_t> only_seed;
std::uint64_t seed_count = 400;

struct Weather {
    std::size_t nodes = 2;
    double loss = 0, doubled = 0, delayed = 0;  // chances per frame
    Duration latency{}, jitter{}, long_delay{};
    Duration partition_every{}, partition_for{};  // zero: never
    std::size_t messages = 0;                     // per pair and direction
    LinkTiming timing;
};

class Simulation {
  public:
    explicit Simulation(std::uint64_t seed) : random_(seed), weather_(forecast()) {
        for (std::size_t from = 0; from < weather_.nodes; ++from)
            for (std::size_t to = 0; to < weather_.nodes; ++to)
                if (from != to)
                    ends_.emplace(std::pair{from, to},
                                  End{Link{{id(from), id(to),
                                            LinkIncarnation{static_cast<std::uint32_t>(from + 1)}},
                                           weather_.timing}});
        if (weather_.partition_every > Duration::zero()) turn_at_ = now_ + 1ns + up_to(10ms);
    }

    void run() {
        while (!finished() && !testing::Test::HasFailure()) {
            ASSERT_LT(now_ - Instant{}, Duration{30min}) << "does not come to an end";
            for (auto& [pair, end] : ends_) {
                feed(end);
                drain(pair, end);
                ASSERT_NE(end.link.state(), PeerState::lost) << end.link.problem();
            }
            advance();
        }
        for (auto& [pair, end] : ends_) {
            EXPECT_EQ(end.link.state(), PeerState::up) << end.link.problem();
            EXPECT_EQ(end.link.counters().messages_received, weather_.messages);
        }
    }

    struct Figures {
        std::uint64_t messages = 0, frames = 0, again = 0, doubled = 0, early = 0;
        Duration virtual_time{};

        Figures& operator+=(const Figures& other) {
            messages += other.messages;
            frames += other.frames;
            again += other.again;
            doubled += other.doubled;
            early += other.early;
            virtual_time += other.virtual_time;
            return *this;
        }
    };
    Figures figures() const {
        Figures sum;
        sum.frames = frames_;
        sum.virtual_time = now_ - Instant{};
        for (const auto& [pair, end] : ends_) {
            const PeerCounters c = end.link.counters();
            sum.messages += c.messages_received;
            sum.again += c.retransmissions;
            sum.doubled += c.duplicates;
            sum.early += c.out_of_order;
        }
        return sum;
    }

  private:
    using Pair = std::pair<std::size_t, std::size_t>;  // from, to
    struct End {
        Link link;
        std::uint32_t sent = 0, received = 0;
    };
    struct Flight {
        Instant at;
        std::uint64_t number;  // ties are broken the same way in each run
        Pair pair;
        FrameHeader header;
        std::vector<std::byte> payload;
        bool operator>(const Flight& other) const {
            return std::tie(at, number) > std::tie(other.at, other.number);
        }
    };

    static NodeId id(std::size_t n) { return NodeId{static_cast<std::uint8_t>(n)}; }
    bool chance(double p) { return std::uniform_real_distribution<>{}(random_) < p; }
    Duration up_to(Duration longest) {
        return Duration{std::uniform_int_distribution<Duration::rep>{0, longest.count()}(random_)};
    }

    Weather forecast() {
        Weather weather;
        weather.nodes = 2 + random_() % 3;
        weather.messages = 50 + random_() % 300;
        const double losses[] = {0, 0.001, 0.01, 0.05, 0.2};
        weather.loss = losses[random_() % 5];
        weather.doubled = losses[random_() % 5];
        weather.delayed = losses[random_() % 5];
        weather.latency = 1us + up_to(random_() % 2 == 0 ? Duration{20us} : Duration{5ms});
        weather.jitter = up_to(weather.latency);
        weather.long_delay = up_to(200ms);
        if (random_() % 3 == 0) {
            weather.partition_every = 50ms + up_to(500ms);
            weather.partition_for = 1ms + up_to(3s);
        }
        weather.timing.window = std::size_t{8} << random_() % 6;
        weather.timing.high_water = 1 + random_() % 64;
        weather.timing.queue_limit = 512;
        return weather;
    }

    void feed(End& end) {
        while (end.sent < weather_.messages && !end.link.congested()) {
            const std::uint32_t number = end.sent++;
            std::array<std::byte, sizeof number> head;
            std::memcpy(head.data(), &number, sizeof number);
            const std::vector<std::byte> body(number % 13, std::byte{0x77});
            end.link.send(Channel::test, head, body);
        }
    }

    void drain(const Pair& pair, End& end) {
        end.link.tick(now_);
        while (const auto outgoing = end.link.next(now_)) {
            send(pair, *outgoing);
            end.link.transmitted(now_);
        }
        EXPECT_LE(end.link.held_back(), weather_.timing.window);
        EXPECT_LE(end.link.waiting(), weather_.timing.queue_limit);
    }

    void send(const Pair& pair, const Link::Outgoing& outgoing) {
        ++frames_;
        if (parted_ && (pair.first == 0 || pair.second == 0)) return;
        if (chance(weather_.loss)) return;
        const int copies = chance(weather_.doubled) ? 2 : 1;
        for (int i = 0; i < copies; ++i) {
            Duration delay = weather_.latency + up_to(weather_.jitter);
            if (chance(weather_.delayed)) delay += up_to(weather_.long_delay);
            wire_.push({now_ + delay,
                        ++flights_,
                        pair,
                        outgoing.header,
                        {outgoing.payload.begin(), outgoing.payload.end()}});
        }
    }

    void arrive(const Flight& flight) {
        End& end = ends_.at({flight.pair.second, flight.pair.first});
        end.link.receive(flight.header, flight.payload, now_, [&](Channel, ByteView payload) {
            std::uint32_t number = 0;
            ASSERT_GE(payload.size(), sizeof number);
            std::memcpy(&number, payload.data(), sizeof number);
            ASSERT_EQ(number, end.received) << "lost, doubled or out of order";
            ASSERT_EQ(payload.size(), sizeof number + number % 13);
            ++end.received;
        });
    }

    void schedule_partition() {
        // Whole for longer than rto_max: something gets through each time, or a peer that happens
        // to retry only while parted is rightly given up.
        turn_at_ = now_ + (parted_ ? 1ns + up_to(weather_.partition_for)
                                   : weather_.timing.rto_max + up_to(weather_.partition_every));
    }

    void advance() {
        std::optional<Instant> next;
        const auto consider = [&](Instant at) { next = next ? std::min(*next, at) : at; };
        if (!wire_.empty()) consider(wire_.top().at);
        if (turn_at_) consider(*turn_at_);
        for (auto& [pair, end] : ends_)
            if (const auto at = end.link.next_deadline()) consider(*at);
        ASSERT_TRUE(next || finished()) << "nobody will ever do anything again";
        if (next) now_ = std::max(now_, *next);
        if (turn_at_ && now_ >= *turn_at_) {
            parted_ = !parted_;
            schedule_partition();
        }
        while (!wire_.empty() && wire_.top().at <= now_) {
            const Flight flight = wire_.top();
            wire_.pop();
            arrive(flight);
        }
    }

    bool finished() const {
        for (const auto& [pair, end] : ends_)
            if (end.sent < weather_.messages || end.received < weather_.messages ||
                end.link.next_deadline())
                return false;
        return true;
    }

    std::mt19937_64 random_;
    Weather weather_;
    std::map<Pair, End> ends_;
    std::priority_queue<Flight, std::vector<Flight>, std::greater<>> wire_;
    std::uint64_t flights_ = 0, frames_ = 0;
    Instant now_{};
    bool parted_ = false;  // node 0 from the others
    std::optional<Instant> turn_at_;
};

TEST(LinkSimulation, EveryMessageArrivesOnceAndInOrder) {
    const std::uint64_t first = only_seed.value_or(1);
    const std::uint64_t count = only_seed ? 1 : seed_count;
    Simulation::Figures sum;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        SCOPED_TRACE("replay with --seed " + std::to_string(seed));
        Simulation simulation{seed};
        simulation.run();
        sum += simulation.figures();
        if (testing::Test::HasFailure()) break;
    }
    std::cout << count << " seeds: " << sum.messages << " messages, " << sum.frames << " frames, "
              << sum.again << " again, " << sum.doubled << " double, " << sum.early << " early, "
              << sum.virtual_time / 1s << " virtual seconds\n";
}

}  // namespace
}  // namespace vsmp::fabric

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--seed") == 0) vsmp::fabric::only_seed = std::stoull(argv[i + 1]);
        if (std::strcmp(argv[i], "--seeds") == 0)
            vsmp::fabric::seed_count = std::stoull(argv[i + 1]);
    }
    return RUN_ALL_TESTS();
}
