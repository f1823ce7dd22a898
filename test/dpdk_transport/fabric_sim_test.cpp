// Fabrics of 2 to 4 nodes on segments that lose, double, delay, reorder and damage frames, in
// virtual time, from a seed.
//
//   test_fabric_sim [--seeds N] [--seed S]       S: replay one
//   test_fabric_sim --messages N                 so many per fault and rate: the long form
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <iomanip>
#include <iostream>

#include "test/dpdk_transport/sim_cluster.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

std::optional<std::uint64_t> only_seed;
std::uint64_t seed_count = 60;
std::uint64_t long_messages = 60'000;

double seconds_of(Duration d) {
    return std::chrono::duration<double>(d).count();
}

TEST(FabricSimulation, AnyWeather) {
    const std::uint64_t first = only_seed.value_or(1);
    const std::uint64_t last = only_seed ? first : first + seed_count - 1;
    std::uint64_t messages = 0, frames = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        SCOPED_TRACE("replay with --seed " + std::to_string(seed));
        std::mt19937_64 random{seed};
        const auto one_of = [&](auto... values) {
            const std::array all{values...};
            return all[random() % all.size()];
        };
        SimWire::Options wire;
        wire.nodes = 2 + random() % 3;
        wire.segments = 1 + random() % 2;
        for (std::size_t i = 0; i < wire.segments; ++i) {
            wire.mtus.push_back(one_of(1500, 9000, 9000));
            wire.carries.push_back(one_of(1500, 4600, 9000, 9000));
        }
        LinkTiming timing;
        timing.window = std::size_t{8} << random() % 6;
        timing.high_water = 1 + random() % 64;
        timing.queue_limit = 4096;
        SimLoad load{.messages = 100 + random() % 400, .pages = one_of(0.0, 0.3, 0.9)};
        SimCluster cluster{wire, timing, load, seed};
        Weather weather;
        weather.loss = one_of(0.0, 0.001, 0.01, 0.05, 0.2);
        weather.doubled = one_of(0.0, 0.001, 0.01, 0.05, 0.2);
        weather.delayed = one_of(0.0, 0.001, 0.01, 0.05, 0.2);
        weather.damaged = one_of(0.0, 0.001, 0.01, 0.05, 0.2);
        weather.latency = Duration{one_of(Duration{2us}, Duration{20us}, Duration{3ms})};
        weather.jitter = weather.latency * one_of(0, 1, 1);
        weather.long_delay = one_of(Duration{100us}, Duration{5ms}, Duration{100ms});
        cluster.wire().set_weather(weather);
        // Every now and then something happens.
        for (int i = 0; i < 8; ++i) {
            cluster.run(1ms + Duration{random() % 100'000'000}, [&] { return false; });
            const std::size_t node = random() % wire.nodes, segment = random() % wire.segments;
            switch (random() % 5) {
                case 0:
                    cluster.stall(node, cluster.now() + Duration{random() % 300'000'000});
                    break;
                case 1:
                    cluster.wire().cut(node, segment, true);
                    cluster.run(Duration{random() % 1'000'000'000}, [&] { return false; });
                    cluster.wire().cut(node, segment, false);
                    break;
                case 2:
                    cluster.restart(node);
                    break;
                default:
                    break;
            }
        }
        ASSERT_TRUE(cluster.run(5min, [&] { return cluster.all_delivered(); }))
            << cluster.describe();
        ASSERT_EQ(cluster.problem(), "");
        messages += cluster.delivered();
        frames += cluster.wire().counts().frames;
    }
    std::cout << last - first + 1 << " seeds, " << messages << " messages, " << frames
              << " frames\n";
}

struct Fault {
    const char* name;
    double Weather::*chance;
};

// Two nodes, one fault, one rate: the table of docs/fabric.md.
class OneFault : public testing::TestWithParam<Fault> {};

TEST_P(OneFault, EveryMessageArrivesOnceAndInOrder) {
    double undisturbed = 0;
    LinkTiming timing;
    timing.flight_near = timing.flight;  // the round trip is now near, now not: compare one flight
    for (const double rate : {0.0, 0.001, 0.01, 0.05, 0.2}) {
        SimCluster cluster{{}, timing, {.messages = long_messages / 2}, 42};
        Weather weather{.latency = 15us, .long_delay = 100us};
        weather.*GetParam().chance = rate;
        cluster.wire().set_weather(weather);
        // As fast as a port of 10 Gbit/s and a busy node let it: a burst every 20 us.
        for (std::size_t node : {0, 1}) cluster.slow_down(node, 20us);
        ASSERT_TRUE(cluster.run(1s, [&] { return cluster.delivered() > 0; }));
        const Instant start = cluster.now();
        ASSERT_TRUE(cluster.run(24h, [&] { return cluster.all_delivered(); }))
            << cluster.describe();
        ASSERT_EQ(cluster.problem(), "");
        const PeerCounters sum = cluster.counters();
        const double per_second =
            static_cast<double>(cluster.delivered()) / seconds_of(cluster.now() - start);
        if (rate == 0) undisturbed = per_second;
        std::cout << std::setw(10) << GetParam().name << std::setw(6) << 100 * rate << "%  "
                  << cluster.delivered() << " messages, " << cluster.wire().counts().frames
                  << " frames, " << sum.retransmissions << " again, " << sum.needless
                  << " needlessly, " << sum.duplicates << " double; "
                  << std::lround(100 * per_second / undisturbed) << "% of the undisturbed speed\n";
        if (rate == 0.01 && GetParam().chance == &Weather::loss) {
            EXPECT_GE(per_second, 0.6 * undisturbed);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Faults, OneFault,
                         testing::Values(Fault{"loss", &Weather::loss},
                                         Fault{"doubling", &Weather::doubled},
                                         Fault{"reordering", &Weather::delayed},
                                         Fault{"damage", &Weather::damaged}),
                         [](const auto& parameter) { return parameter.param.name; });

TEST(FabricSimulation, PartitionOfTwoSecondsLosesNothing) {
    SimCluster cluster{{}, {}, {.messages = 20'000}, 7};
    cluster.wire().set_weather({.loss = 0.01, .latency = 20us, .jitter = 20us});
    cluster.run(5ms, [&] { return false; });
    ASSERT_FALSE(cluster.all_delivered());
    cluster.wire().cut(0, 0, true);
    cluster.run(2s, [&] { return false; });
    cluster.wire().cut(0, 0, false);
    const Instant restored = cluster.now();
    ASSERT_TRUE(cluster.run(10s, [&] { return cluster.all_delivered(); })) << cluster.describe();
    EXPECT_EQ(cluster.lives(), 0u);
    std::cout << "all delivered " << seconds_of(cluster.now() - restored)
              << " s after the partition\n";
}

TEST(FabricSimulation, OneOfTwoSegmentsIsCut) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        SimCluster cluster{{.nodes = 2, .segments = 2}, {}, {.messages = 40'000}, seed};
        cluster.wire().set_weather({.latency = 20us, .jitter = 10us});
        for (std::size_t node : {0, 1}) cluster.slow_down(node, 50us);
        cluster.run(20ms, [&] { return false; });
        ASSERT_FALSE(cluster.all_delivered());
        cluster.forget_silence();
        cluster.wire().cut(0, seed % 2, true);
        cluster.run(50ms, [&] { return false; });
        EXPECT_FALSE(cluster.all_delivered()) << "there was traffic all the time";
        EXPECT_LT(cluster.longest_silence(), 50ms);
        EXPECT_NE(cluster.fabric(0).peer_problem(NodeId{1}), "");
        std::cout << "seed " << seed << ": silent for " << cluster.longest_silence() / 1us
                  << " us\n";
        cluster.wire().cut(0, seed % 2, false);
        ASSERT_TRUE(cluster.run(60s, [&] { return cluster.all_delivered(); }))
            << cluster.describe();
        ASSERT_EQ(cluster.problem(), "");
        EXPECT_EQ(cluster.lives(), 0u);
    }
}

TEST(FabricSimulation, SlowNodeIsNeverOverrun) {
    SimCluster cluster{{.nodes = 4}, {}, {.messages = 5000}, 3};
    cluster.wire().set_weather({.latency = 5us});
    cluster.slow_down(0, 1ms);
    ASSERT_TRUE(cluster.run(5min, [&] { return cluster.all_delivered(); })) << cluster.describe();
    ASSERT_EQ(cluster.problem(), "");
    EXPECT_LE(cluster.wire().most_waiting(), FabricOptions{}.receive_capacity);
    EXPECT_EQ(cluster.wire().counts().overrun, 0u);
    std::cout << "at most " << cluster.wire().most_waiting() << " frames waited at one port, "
              << cluster.counters().retransmissions << " of " << cluster.counters().frames_sent
              << " were sent again\n";
}

TEST(FabricSimulation, RestartedNodeTalksAgain) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        SimCluster cluster{{.nodes = 3}, {}, {.messages = 2000}, seed};
        cluster.wire().set_weather(
            {.loss = 0.01, .delayed = 0.05, .latency = 20us, .jitter = 20us, .long_delay = 10ms});
        cluster.run(2ms * seed, [&] { return false; });
        cluster.restart(1);
        const Instant restarted = cluster.now();
        const auto up = [&] {
            return cluster.fabric(1).peer_state(NodeId{0}) == PeerState::up &&
                   cluster.fabric(0).peer_state(NodeId{1}) == PeerState::up;
        };
        ASSERT_TRUE(cluster.run(1s, up));
        EXPECT_LT(cluster.now() - restarted, 1s);
        ASSERT_TRUE(cluster.run(60s, [&] { return cluster.all_delivered(); }))
            << cluster.describe();
        ASSERT_EQ(cluster.problem(), "");
    }
}

}  // namespace
}  // namespace vsmp::fabric

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    for (int i = 1; i + 1 < argc; i += 2) {
        using namespace vsmp::fabric;
        if (std::strcmp(argv[i], "--seed") == 0) only_seed = std::stoull(argv[i + 1]);
        if (std::strcmp(argv[i], "--seeds") == 0) seed_count = std::stoull(argv[i + 1]);
        if (std::strcmp(argv[i], "--messages") == 0) long_messages = std::stoull(argv[i + 1]);
    }
    return RUN_ALL_TESTS();
}
