// af_packet on veth pairs in a network namespace of this process.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <iostream>
#include <random>
#include <thread>

#include "dpdk_transport/bench/network_sandbox.hpp"
#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/open_port.hpp"
#include "proto/fd.hpp"
#include "proto/monotonic_clock.hpp"
#include "test/skip.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

// Once per process: DPDK starts only once, and the namespace must be entered before.
const std::string& sandbox_problem() {
    static const std::string problem = enter_network_sandbox();
    return problem;
}
const std::shared_ptr<Eal>& eal() {
    static const std::shared_ptr<Eal> started = *Eal::start({});
    return started;
}

class AfPacket : public testing::Test {
  protected:
    void SetUp() override {
        if (!sandbox_problem().empty()) VSMP_SKIP() << sandbox_problem();
        ASSERT_TRUE(add_veth("va", "vb"));
    }
    void TearDown() override {
        if (!sandbox_problem().empty()) return;
        EXPECT_TRUE(run_command("ip link del va"));
    }

    static std::string error_of(const std::string& interface) {
        auto port = open_port(eal(), AfPacketOptions{interface});
        return port ? "" : port.error().message;
    }

    struct Node {
        std::unique_ptr<Fabric> fabric;
        std::vector<std::vector<std::byte>> received;
        void poll() {
            fabric->poll(monotonic_now(), [&](NodeId, Channel, ByteView payload) {
                received.emplace_back(payload.begin(), payload.end());
            });
        }
    };

    static Node make_node(std::size_t self, const std::string& interface, std::uint16_t vlan) {
        std::vector<std::unique_ptr<Port>> ports;
        ports.push_back(*open_port(eal(), AfPacketOptions{interface}));
        FabricOptions options;
        options.self = NodeId{static_cast<std::uint8_t>(self)};
        options.node_count = 2;
        options.guest = kGuest;
        options.incarnation = random_incarnation();
        options.vlan = vlan;
        return {*make_fabric(options, std::move(ports)), {}};
    }

    // Two nodes send each other `count` messages of all sizes; `between` runs once per round,
    // `check` for each node in the end.
    static void expect_good_path(const Node& node, NodeId peer, const std::string& port) {
        EXPECT_EQ(node.fabric->peer_problem(peer), "");
        ASSERT_EQ(node.fabric->paths(peer).size(), 1u);
        const PathStats path = node.fabric->paths(peer)[0];
        EXPECT_EQ(path.state, PathStats::State::up);
        EXPECT_EQ(path.mtu, kLargestEthernetPayload);
        EXPECT_EQ(path.port, port);
        EXPECT_EQ(path.frames_sent, node.fabric->counters(peer).frames_sent);
    }

    template <class Between, class Check>
    static void exchange(std::uint16_t vlan, std::size_t count, Between between, Check check) {
        std::array<Node, 2> nodes{make_node(0, "va", vlan), make_node(1, "vb", vlan)};
        std::array<std::size_t, 2> sent{};
        const auto size_of = [](std::size_t i) { return i * 97 % (kMaxPayload + 1); };
        const Instant deadline = monotonic_now() + 60s;
        while ((nodes[0].received.size() < count || nodes[1].received.size() < count) &&
               monotonic_now() < deadline) {
            for (std::size_t n = 0; n < 2; ++n) {
                while (sent[n] < count && !nodes[n].fabric->congested()) {
                    const std::vector<std::byte> bytes(size_of(sent[n]),
                                                       static_cast<std::byte>(sent[n]));
                    ++sent[n];
                    nodes[n].fabric->send(NodeId{static_cast<std::uint8_t>(1 - n)}, Channel::test,
                                          ByteView{bytes}.first(bytes.size() / 2),
                                          ByteView{bytes}.subspan(bytes.size() / 2));
                }
                nodes[n].poll();
            }
            between();
        }
        for (std::size_t n = 0; n < 2; ++n) {
            const NodeId peer{static_cast<std::uint8_t>(1 - n)};
            check(nodes[n], peer, std::string{"af_packet on "} + (n == 0 ? "va" : "vb"));
            ASSERT_EQ(nodes[n].received.size(), count);
            for (std::size_t i = 0; i < count; ++i) {
                const std::vector<std::byte> expected(size_of(i), static_cast<std::byte>(i));
                ASSERT_TRUE(nodes[n].received[i] == expected) << "message " << i;
            }
            const PeerCounters counters = nodes[n].fabric->counters(peer);
            std::cout << "node " << n << ": " << counters.frames_sent << " frames sent, "
                      << counters.retransmissions << " again\n";
        }
    }

    template <class Between>
    static void exchange(std::uint16_t vlan, std::size_t count, Between between) {
        exchange(vlan, count, between, expect_good_path);
    }

    static constexpr std::uint64_t kGuest = 4711;
};

TEST_F(AfPacket, SaysWhatIsWrongWithTheInterface) {
    EXPECT_EQ(error_of("nosuch0"), "network interface nosuch0 does not exist");
    EXPECT_EQ(error_of("a-name-that-is-too-long"),
              "\"a-name-that-is-too-long\" is not the name of a network interface");
    ASSERT_TRUE(add_veth("off0", "off1"));
    ASSERT_TRUE(run_command("ip link set off0 down"));
    EXPECT_EQ(error_of("off0"), "network interface off0 is down");
    ASSERT_TRUE(run_command("ip link del off0"));
    const auto port = open_port(eal(), AfPacketOptions{"va"});
    ASSERT_TRUE(port) << port.error().message;
    EXPECT_EQ(error_of("va"), "port busy: interface va is in use by another vsmp node");
}

TEST_F(AfPacket, SaysThatPermissionIsMissing) {
    eal();
    ASSERT_EQ(::seteuid(65534), 0);
    const std::string error = error_of("va");
    ASSERT_EQ(::seteuid(0), 0);
    EXPECT_EQ(error, "no permission for raw frames: CAP_NET_RAW is needed");
}

TEST_F(AfPacket, SaysWhatIsWrongWithAPciDevice) {
    auto port = open_port(eal(), PciOptions{"ffff:ff:1f.7"});
    ASSERT_FALSE(port);
    EXPECT_EQ(port.error().message, "PCI device ffff:ff:1f.7 does not exist");
}

TEST_F(AfPacket, PortCanBeOpenedAgain) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(error_of("va"), "");
}

TEST_F(AfPacket, DpdkStartsOnlyOnce) {
    eal();
    auto second = Eal::start({});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().message, "DPDK can be started only once in a process");
}

TEST_F(AfPacket, MessagesOfAllSizesArrive) {
    exchange(0, 3000, [] {});
}

// Messages of all sizes, pages among them, over interfaces with the MTU of any Ethernet.
TEST_F(AfPacket, SmallMtuIsServedAndSaid) {
    ASSERT_TRUE(run_command("ip link set va mtu 1500"));
    ASSERT_TRUE(run_command("ip link set vb mtu 1500"));
    exchange(
        0, 3000, [] {},
        [](const Node& node, NodeId peer, const std::string& port) {
            EXPECT_EQ(node.fabric->peer_problem(peer),
                      "the way to node " + std::to_string(peer.value()) + " over " + port +
                          " has an MTU of 1500: pages are cut up");
            EXPECT_EQ(node.fabric->paths(peer)[0].mtu, 1500u);
            EXPECT_GT(node.fabric->counters(peer).frames_sent, 8000u);
        });
}

TEST_F(AfPacket, MessagesArriveInAVlan) {
    exchange(7, 1000, [] {});
}

// Two processes on the two ends of a veth pair can need the same fanout number for different
// interfaces: this takes it away first.
TEST_F(AfPacket, OpensThoughItsFanoutNumberIsTaken) {
    const unsigned ours = if_nametoindex("va"), other = if_nametoindex("vb");
    const UniqueFd taken{::socket(AF_PACKET, SOCK_RAW, htons(0x0003))};
    ASSERT_TRUE(taken);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(0x0003);
    address.sll_ifindex = static_cast<int>(other);
    ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const int number = static_cast<int>((static_cast<unsigned>(::getpid()) ^ ours) & 0xffff);
    ASSERT_EQ(::setsockopt(taken.get(), SOL_PACKET, PACKET_FANOUT, &number, sizeof number), 0);
    EXPECT_EQ(error_of("va"), "");
}

TEST_F(AfPacket, WakesForOurFramesOnly) {
    auto a = *open_port(eal(), AfPacketOptions{"va"});
    auto b = *open_port(eal(), AfPacketOptions{"vb"});
    const auto frame = [&](std::uint16_t type) {
        std::array<std::byte, 60> bytes{};
        ByteWriter writer{bytes};
        for (int i = 0; i < 6; ++i) writer.write(std::uint8_t{0xff});
        for (std::uint8_t octet : a->mac().octets) writer.write(octet);
        writer.write(static_cast<std::uint16_t>(type << 8 | type >> 8));
        EXPECT_TRUE(a->queue_copy(bytes, {}));
        EXPECT_TRUE(a->flush());
    };
    std::size_t count = 0;
    const auto counting = [&](ByteView) { ++count; };
    ASSERT_TRUE(b->arm_wakeup());
    pollfd wait{b->wakeup_fd(), POLLIN, 0};
    frame(0x0800);
    EXPECT_EQ(::poll(&wait, 1, 0), 0);
    frame(kEtherType);
    EXPECT_EQ(::poll(&wait, 1, 10000), 1);
    b->disarm_wakeup();
    EXPECT_EQ(b->receive(counting), 1u);
    EXPECT_TRUE(b->arm_wakeup());
    EXPECT_EQ(::poll(&wait, 1, 0), 0) << "still readable: the loop would spin";
    frame(kEtherType);
    EXPECT_FALSE(b->arm_wakeup());
    EXPECT_EQ(b->receive(counting), 1u);
    EXPECT_EQ(count, 2u);
}

// Frames of all sorts thrown at both ends while they talk.
class Stranger {
  public:
    Stranger() : socket_(::socket(AF_PACKET, SOCK_RAW, 0)) {}

    void send_some(const char* interface, int count) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
        for (int i = 0; i < count; ++i) {
            const auto frame = make();
            if (::sendto(socket_.get(), frame.data(), frame.size(), 0,
                         reinterpret_cast<sockaddr*>(&address), sizeof address) > 0)
                ++sent;
        }
    }
    std::size_t sent = 0;

  private:
    unsigned random(unsigned below) { return static_cast<unsigned>(random_() % below); }

    std::vector<std::byte> make() {
        std::vector<std::byte> frame(14 + random(2000));
        for (std::byte& b : frame) b = static_cast<std::byte>(random(256));
        std::fill_n(frame.begin(), 6, std::byte{0xff});
        frame[12] = std::byte{0x88};
        frame[13] = std::byte{0xb5};
        if (random(3) == 0 || frame.size() < kHeaderSize) return frame;
        // Plausible, down to the guest of the test now and then; the incarnations stay wrong.
        FrameContext context{random(2) == 0 ? 4711u : random(10000), NodeId{0}, 2, 0};
        FrameHeader header;
        header.kind = static_cast<FrameKind>(2 + random(5));
        header.from = NodeId{static_cast<std::uint8_t>(random(3))};
        header.to = NodeId{static_cast<std::uint8_t>(random(3))};
        header.sender = LinkIncarnation{1 + random(1000)};
        header.receiver = LinkIncarnation{1 + random(1000)};
        header.sequence = random(300);
        header.acknowledged = random(300);
        header.channel = static_cast<Channel>(random(9));
        const ByteView payload = ByteView{frame}.subspan(kHeaderSize);
        header.total = static_cast<std::uint16_t>(payload.size());
        encode_frame(context, kBroadcastMac, MacAddress{}, header, payload, frame);
        if (random(2) == 0) frame[14 + random(kHeaderSize - 14)] ^= static_cast<std::byte>(1);
        return frame;
    }

    UniqueFd socket_;
    std::mt19937 random_{20240607};
};

// A socket hears all interfaces until it is bound to one, and the driver's has its ring by then.
TEST_F(AfPacket, HearsNothingOfOtherInterfaces) {
    ASSERT_TRUE(add_veth("quiet0", "quiet1"));
    const std::jthread noise{[](const std::stop_token& over) {
        for (Stranger stranger; !over.stop_requested();) stranger.send_some("va", 8);
    }};
    std::size_t strays = 0;
    for (int i = 0; i < 5; ++i) {
        auto port = open_port(eal(), AfPacketOptions{"quiet0"});
        ASSERT_TRUE(port) << port.error().message;
        while ((*port)->receive([](ByteView) {}) > 0) ++strays;
    }
    EXPECT_EQ(strays, 0u);
    ASSERT_TRUE(run_command("ip link del quiet0"));
}

TEST_F(AfPacket, RandomFramesDoNotDisturb) {
    Stranger stranger;
    exchange(0, 2000, [&] {
        stranger.send_some("va", 8);
        stranger.send_some("vb", 8);
    });
    std::cout << stranger.sent << " frames of a stranger\n";
    EXPECT_GT(stranger.sent, 500u);
}

}  // namespace
}  // namespace vsmp::fabric
