// Two real nodes in network namespaces of their own, and between them a wire that misbehaves
// (relay.hpp): every message arrives once and in order within its channel.
//
// VSMP_WIRE_MESSAGES=10000000 makes the long form of it; the default suits a CI run.
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
    std::atomic<std::uint32_t> over;
};

// Sends `count` messages, each with a channel and its number in that channel, and checks those of
// the other. 0: all is well.
int play(int self, const std::string& interface, std::uint32_t count, Shared& shared) {
    FabricOptions options;
    options.integrity = Integrity::checksum;
    auto node = TestNode::open(self, AfPacketOptions{interface}, options);
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
        node->turn(deliver);
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

    // Relay in the middle, in a process and namespace of its own; `tick` may cut the cable.
    // Messages per second and direction through `rate`.
    template <class Tick>
    void run(const WireFaults& faults, std::uint32_t count, Tick tick) {
        if (::geteuid() != 0) VSMP_SKIP() << "network namespaces need root";
        const pid_t middle = in_child([&] { return relay(faults, count, tick); });
        EXPECT_EQ(exit_code(middle), 0);
        rate_ = 1e6 * count /
                static_cast<double>(std::max<std::uint64_t>(
                    1, std::max(shared_->took_us[0].load(), shared_->took_us[1].load())));
    }

    template <class Tick>
    int relay(const WireFaults& faults, std::uint32_t count, Tick tick) {
        if (!enter_network_sandbox().empty()) return 10;
        pid_t nodes[2];
        for (int self = 0; self < 2; ++self) {
            const std::string outer = "relay" + std::to_string(self);
            const std::string inner = "node" + std::to_string(self);
            if (!add_veth(outer, inner)) return 11;
            int told[2];
            if (::pipe(told) != 0) return 12;
            nodes[self] = in_child([&] {
                if (::unshare(CLONE_NEWNET) != 0 || ::write(told[1], "x", 1) != 1) return 13;
                while (!run_command("ip link set " + inner + " up 2>/dev/null")) ::usleep(2000);

                return play(self, inner, count, *shared_);
            });
            char byte;
            if (::read(told[0], &byte, 1) != 1) return 14;
            if (!run_command("ip link set " + inner + " netns " + std::to_string(nodes[self])))
                return 15;
        }
        auto wire = Relay::open("relay0", "relay1", faults, 20261123);
        if (!wire) return 16;
        const Instant give_up = monotonic_now() + 60s + count * 200us;
        while ((shared_->done[0] == 0 || shared_->done[1] == 0) && monotonic_now() < give_up) {
            tick(*wire, *shared_, monotonic_now());
            wire->turn(monotonic_now());
        }
        // Who has everything may still owe an acknowledgement, but no message.
        shared_->over = 1;
        const int codes[] = {exit_code(nodes[0]), exit_code(nodes[1])};
        const WireCounts& counts = wire->counts();
        std::cerr << "wire: " << counts.carried << " carried, " << counts.lost << " lost, "
                  << counts.doubled << " doubled, " << counts.delayed << " delayed, "
                  << counts.damaged << " damaged\n";
        return codes[0] != 0 ? codes[0] : codes[1];
    }

    static void nothing(Relay&, Shared&, Instant) {}

    Shared* shared_ = nullptr;
    double rate_ = 0;
};

struct Rate {
    double chance = 0;  // of each kind of fault, all at once
    std::uint32_t usual_messages = 0;
};
class AtRate : public WireFaultsTest, public testing::WithParamInterface<Rate> {};

TEST_P(AtRate, EveryMessageArrivesOnceAndInOrder) {
    run(WireFaults::all(GetParam().chance), message_count(GetParam().usual_messages), nothing);
    if (HasFailure() || IsSkipped()) return;
    std::cout << "faults of each kind " << 100 * GetParam().chance << "%: " << rate_
              << " messages/s each way\n";
}
INSTANTIATE_TEST_SUITE_P(WireFaults, AtRate,
                         testing::Values(Rate{0, 6000}, Rate{0.001, 6000}, Rate{0.01, 6000},
                                         Rate{0.05, 6000}, Rate{0.2, 2000}));

TEST_F(WireFaultsTest, ACutOfTwoSecondsLosesNothing) {
    std::optional<Instant> cut;
    run({}, message_count(), [&](Relay& wire, Shared& shared, Instant now) {
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

}  // namespace
}  // namespace vsmp::fabric
