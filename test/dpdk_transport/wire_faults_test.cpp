// Two real nodes in network namespaces of their own, and between them a wire that misbehaves
// (relay.hpp): every message arrives once and in order within its channel.
//
// VSMP_WIRE_MESSAGES=10000000 makes the long form of it; the default suits a CI run. One fault at a
// rate of a thousandth, a hundredth...: --gtest_filter=*OneFault*/Loss1
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <new>

#include "dpdk_transport/bench/network_sandbox.hpp"
#include "test/dpdk_transport/node_process.hpp"
#include "test/dpdk_transport/relay.hpp"
#include "test/skip.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

constexpr Channel kChannels[] = {Channel::coherence, Channel::vcpu, Channel::device, Channel::page,
                                 Channel::test};
constexpr std::size_t kChannelCount = std::size(kChannels);

std::uint32_t message_count(std::uint32_t usual = 6000) {
    const char* given = std::getenv("VSMP_WIRE_MESSAGES");
    return given == nullptr ? usual : static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10));
}

// Mostly pages, some small, some as large as can be.
std::size_t size_of(std::uint32_t number) {
    if (number % 7 == 0) return 64;
    if (number % 31 == 0) return kMaxPayload;
    return kPageSize + 16;
}

// What the processes of one run share.
struct Shared {
    std::atomic<std::uint32_t> done[2];
    std::atomic<std::uint32_t> received[2];
    std::atomic<std::uint64_t> took_us[2];
    std::atomic<std::uint64_t> again[2], needless[2];  // retransmissions
    std::atomic<std::uint32_t> over;
    std::atomic<std::uint32_t> cut;             // set when a link is
    std::atomic<std::uint64_t> silence_us[2];   // longest between two messages since then
    std::atomic<std::uint32_t> path_mtu[2];     // of the first link, in the end
    std::atomic<std::uint32_t> path_silent[2];  // whether the first link is, in the end
    std::atomic<std::uint64_t> path_frames[2];  // sent over the second link
};

std::vector<PortOptions> links_of(int self, std::size_t count) {
    std::vector<PortOptions> links;
    for (std::size_t link = 0; link < count; ++link)
        links.push_back(AfPacketOptions{"node" + std::to_string(self) + std::to_string(link)});
    return links;
}

// What is seen at a node besides its messages.
void look(const Fabric& fabric, NodeId peer, std::size_t self, Shared& shared) {
    const std::vector<PathStats> paths = fabric.paths(peer);
    shared.path_mtu[self] = static_cast<std::uint32_t>(paths.front().mtu);
    shared.path_silent[self] = paths.front().state == PathStats::State::silent ? 1 : 0;
    shared.path_frames[self] = paths.back().frames_sent;
    for (const PathStats& path : paths)
        std::cerr << "node " << self << ": " << path.port << ", MTU " << path.mtu << ", "
                  << path.frames_sent << " frames sent, " << path.frames_received << " received\n";
    const std::string problem = fabric.peer_problem(peer);
    if (!problem.empty()) std::cerr << "node " << self << ": " << problem << "\n";
}

// Sends `count` messages, each with a channel and its number in that channel, and checks those of
// the other. 0: all is well.
int play(int self, std::size_t links, std::uint32_t count, Shared& shared) {
    FabricOptions options;
    options.integrity = Integrity::checksum;
    auto node = TestNode::open(self, links_of(self, links), options);
    if (!node) {
        std::cerr << "node " << self << ": " << node.error().message << "\n";
        return 1;
    }
    const NodeId peer{static_cast<std::uint8_t>(1 - self)};
    std::uint32_t sent = 0, received = 0, wrong = 0;
    std::uint32_t next_in[kChannelCount]{}, next_out[kChannelCount]{};
    std::vector<std::byte> message(kMaxPayload);
    const auto deliver = [&](NodeId, Channel channel, ByteView payload) {
        ByteReader reader{payload};
        const std::size_t index = reader.read<std::uint32_t>();
        const auto number = reader.read<std::uint32_t>();
        const auto overall = reader.read<std::uint32_t>();
        const bool right = reader.ok() && index < kChannelCount && kChannels[index] == channel &&
                           number == next_in[index] && payload.size() == size_of(overall) &&
                           payload.back() == static_cast<std::byte>(overall);
        if (!right && wrong++ == 0)
            std::cerr << "node " << self << ": message " << number << " of channel " << index
                      << " came, " << (index < kChannelCount ? next_in[index] : 0)
                      << " was expected\n";
        if (index < kChannelCount) ++next_in[index];
        ++received;
    };
    const Instant began = monotonic_now();
    const auto self_index = static_cast<std::size_t>(self);
    std::optional<Instant> last;
    const auto watch_silence = [&](std::uint32_t before) {
        if (shared.cut == 0 || received == before) return;
        const Instant now = monotonic_now();
        const auto us = static_cast<std::uint64_t>((now - last.value_or(now)) / 1us);
        if (us > shared.silence_us[self_index]) shared.silence_us[self_index] = us;
        last = now;
    };
    while (shared.over == 0) {
        while (sent < count && !node->fabric->congested()) {
            const std::size_t index = sent % kChannelCount;
            const auto bytes = std::span{message}.first(size_of(sent));
            ByteWriter writer{bytes};
            writer.write(static_cast<std::uint32_t>(index));
            writer.write(next_out[index]++);
            writer.write(sent);
            bytes.back() = static_cast<std::byte>(sent);
            node->fabric->send(peer, kChannels[index], bytes);
            ++sent;
        }
        const std::uint32_t before = received;
        node->turn(deliver);
        watch_silence(before);
        shared.received[self_index] = received;
        if (received >= count && shared.done[self_index] == 0) {
            shared.took_us[self_index] =
                static_cast<std::uint64_t>((monotonic_now() - began) / 1us);
            shared.done[self_index] = 1;
        }
        if (node->fabric->peer_state(peer) == PeerState::lost) {
            std::cerr << "node " << self << ": " << node->fabric->peer_problem(peer) << "\n";
            shared.done[self_index] = 1;
            return 2;
        }
    }
    const PeerCounters counters = node->fabric->counters(peer);
    shared.again[self_index] = counters.retransmissions;
    shared.needless[self_index] = counters.needless;
    look(*node->fabric, peer, self_index, shared);
    std::cerr << "node " << self << ": " << received << " received, " << counters.frames_sent
              << " frames sent, " << counters.retransmissions << " again, " << counters.needless
              << " of them needlessly, " << counters.duplicates << " twice, "
              << counters.out_of_order << " early\n";
    return wrong == 0 && received == count ? 0 : 3;
}

class WireFaultsTest : public testing::Test {
  protected:
    void SetUp() override {
        void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        shared_ = new (memory) Shared{};
    }
    void TearDown() override { ::munmap(shared_, sizeof(Shared)); }

    // Nodes with as many links as there are `wires`, and relays in the middle, in a process and
    // namespace of its own; `tick` may cut a cable. Messages per second and direction through
    // rate_.
    template <class Tick>
    void run(const std::vector<WireFaults>& wires, std::uint32_t count, Tick tick) {
        if (::geteuid() != 0) VSMP_SKIP() << "network namespaces need root";
        const pid_t middle = in_child([&] { return relay(wires, count, tick); });
        EXPECT_EQ(exit_code(middle), 0);
        rate_ = 1e6 * count /
                static_cast<double>(std::max<std::uint64_t>(
                    1, std::max(shared_->took_us[0].load(), shared_->took_us[1].load())));
    }

    // A node whose interfaces are made in this namespace and then moved into its own.
    pid_t start_node(int self, std::size_t links, std::uint32_t count) {
        const std::string name = std::to_string(self);
        std::string bring_up = "true";
        for (std::size_t link = 0; link < links; ++link) {
            const std::string end = name + std::to_string(link);
            if (!add_veth("relay" + end, "node" + end)) return -1;
            bring_up += " && ip link set node" + end + " up";
        }
        int told[2];
        if (::pipe(told) != 0) return -1;
        const pid_t node = in_child([&] {
            if (::unshare(CLONE_NEWNET) != 0 || ::write(told[1], "x", 1) != 1) return 13;
            while (!run_command("(" + bring_up + ") 2>/dev/null")) ::usleep(2000);
            return play(self, links, count, *shared_);
        });
        char byte;
        if (::read(told[0], &byte, 1) != 1) return -1;
        for (std::size_t link = 0; link < links; ++link)
            if (!run_command("ip link set node" + name + std::to_string(link) + " netns " +
                             std::to_string(node)))
                return -1;
        return node;
    }

    template <class Tick>
    int relay(const std::vector<WireFaults>& wires, std::uint32_t count, Tick tick) {
        if (!enter_network_sandbox().empty()) return 10;
        const pid_t nodes[] = {start_node(0, wires.size(), count),
                               start_node(1, wires.size(), count)};
        if (nodes[0] < 0 || nodes[1] < 0) return 11;
        std::vector<Relay> relays;
        for (std::size_t link = 0; link < wires.size(); ++link) {
            const std::string number = std::to_string(link);
            auto wire = Relay::open("relay0" + number, "relay1" + number, wires[link], 20261123);
            if (!wire) return 16;
            relays.push_back(*std::move(wire));
        }
        const Instant give_up = monotonic_now() + 60s + count * 2ms;
        while ((shared_->done[0] == 0 || shared_->done[1] == 0) && monotonic_now() < give_up) {
            tick(relays.front(), *shared_, monotonic_now());
            Relay::turn(relays, monotonic_now());
        }
        // Who has everything may still owe an acknowledgement, but no message.
        shared_->over = 1;
        const int codes[] = {exit_code(nodes[0]), exit_code(nodes[1])};
        for (const Relay& wire : relays) {
            const WireCounts& counts = wire.counts();
            std::cerr << "wire: " << counts.carried << " carried, " << counts.lost << " lost, "
                      << counts.doubled << " doubled, " << counts.delayed << " delayed, "
                      << counts.damaged << " damaged, " << counts.swallowed << " swallowed\n";
        }
        return codes[0] != 0 ? codes[0] : codes[1];
    }

    static void nothing(Relay&, Shared&, Instant) {}

    void say(const std::string& faults, std::uint32_t count) const {
        std::cout << faults << ": " << count << " messages each way, all once and in order, "
                  << static_cast<std::uint64_t>(rate_) << "/s each way, "
                  << shared_->again[0] + shared_->again[1] << " sent again, "
                  << shared_->needless[0] + shared_->needless[1] << " of them needlessly\n";
    }

    Shared* shared_ = nullptr;
    double rate_ = 0;
};

struct Rate {
    const char* name;
    WireFaults faults;
    std::uint32_t usual_messages = 0;
};
class AtRate : public WireFaultsTest, public testing::WithParamInterface<Rate> {};

TEST_P(AtRate, EveryMessageArrivesOnceAndInOrder) {
    const std::uint32_t count = message_count(GetParam().usual_messages);
    run({GetParam().faults}, count, nothing);
    if (!HasFailure() && !IsSkipped()) say(GetParam().name, count);
}
INSTANTIATE_TEST_SUITE_P(WireFaults, AtRate,
                         testing::Values(Rate{"Nothing", {}, 6000},
                                         Rate{"All01", WireFaults::all(0.001), 6000},
                                         Rate{"All1", WireFaults::all(0.01), 6000},
                                         Rate{"All5", WireFaults::all(0.05), 6000},
                                         Rate{"All20", WireFaults::all(0.2), 2000}),
                         [](const auto& each) { return std::string{each.param.name}; });

std::string name_of(double chance) {
    return chance < 0.01 ? "01" : std::to_string(static_cast<int>(100 * chance + 0.5));
}

struct Fault {
    const char* name;
    WireFaults (*at)(double chance);
};
constexpr Fault kFaults[] = {
    {"Loss", [](double chance) { return WireFaults{.lose = chance}; }},
    {"Doubling", [](double chance) { return WireFaults{.twice = chance}; }},
    {"Reordering",
     [](double chance) { return WireFaults{.delay = chance, .longest_delay = 100us}; }},
    {"Delay", [](double chance) { return WireFaults{.delay = chance}; }},
    {"Damage", [](double chance) { return WireFaults{.damage = chance}; }},
};
class OneFault : public WireFaultsTest,
                 public testing::WithParamInterface<std::tuple<Fault, double>> {};

TEST_P(OneFault, EveryMessageArrivesOnceAndInOrder) {
    const auto& [fault, chance] = GetParam();
    const std::uint32_t count = message_count(2000);
    run({fault.at(chance)}, count, nothing);
    if (!HasFailure() && !IsSkipped()) say(std::string{fault.name} + name_of(chance), count);
}
INSTANTIATE_TEST_SUITE_P(WireFaults, OneFault,
                         testing::Combine(testing::ValuesIn(kFaults),
                                          testing::Values(0.001, 0.01, 0.05, 0.2)),
                         [](const auto& each) {
                             return std::get<0>(each.param).name + name_of(std::get<1>(each.param));
                         });

TEST_F(WireFaultsTest, ACutOfTwoSecondsLosesNothing) {
    std::optional<Instant> cut;
    run({WireFaults{}}, message_count(), [&](Relay& wire, Shared& shared, Instant now) {
        if (!cut && shared.received[0] > message_count() / 4) {
            cut = now;
            wire.set(Relay::Cable::cut);
        }
        if (cut && now >= *cut + 2s) wire.set(Relay::Cable::plugged);
    });
    if (::geteuid() == 0) {
        EXPECT_GT(shared_->took_us[0], 2'000'000u) << "the cut came too late";
    }
}

// Both ends have an MTU of 9000, and frames of more than 1500 vanish without a word.
TEST_F(WireFaultsTest, AWayThatSwallowsLargeFramesIsFound) {
    run({WireFaults{.largest = kEthernetHeaderSize + kBasicMtu}}, message_count(), nothing);
    if (IsSkipped()) return;
    for (const auto& mtu : shared_->path_mtu) EXPECT_EQ(mtu, kBasicMtu);
}

TEST_F(WireFaultsTest, OneOfTwoLinksCutMovesTheTraffic) {
    const std::uint32_t count = message_count(30'000);
    run({WireFaults{}, WireFaults{}}, count, [&](Relay& wire, Shared& shared, Instant) {
        if (shared.cut != 0 || shared.received[0] < count / 4) return;
        shared.cut = 1;
        wire.set(Relay::Cable::cut);
    });
    if (IsSkipped()) return;
    EXPECT_EQ(shared_->cut, 1u);
    for (std::size_t self = 0; self < 2; ++self) {
        EXPECT_EQ(shared_->path_silent[self], 1u) << "node " << self << " still uses the cut link";
        EXPECT_GT(shared_->path_frames[self], count / 2);
        // 50 ms where there is a CPU for everyone; here others may have it.
        EXPECT_LT(shared_->silence_us[self], 2'000'000u);
        std::cout << "node " << self << ": "
                  << static_cast<double>(shared_->silence_us[self]) / 1000.0
                  << " ms of silence at most after one of two links was cut\n";
    }
}

}  // namespace
}  // namespace vsmp::fabric
