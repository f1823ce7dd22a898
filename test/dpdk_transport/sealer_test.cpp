#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/crypto/aead_sealer.hpp"
#include "dpdk_transport/crypto/replay_window.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/memory_port.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

KeyRing ring(std::vector<std::uint16_t> ids) {
    KeyRing keys;
    for (std::uint16_t id : ids) {
        ClusterKey key{.id = id};
        key.bytes.fill(static_cast<std::byte>(id));
        keys.keys.push_back(key);
    }
    return keys;
}

// A sealer whose clocks stand still at what the test says.
struct Node {
    explicit Node(int self, KeyRing keys = ring({1}), std::uint64_t guest = 7,
                  std::uint64_t began = 1000)
        : session(std::make_shared<std::uint64_t>(began)) {
        sealer = make_aead_sealer({.self = NodeId{static_cast<std::uint8_t>(self)},
                                   .guest = guest,
                                   .keys = std::move(keys),
                                   .newer_keys = [this] { return std::exchange(newer, {}); },
                                   .session_clock = [s = session] { return *s; },
                                   .clock = [this] { return now; }});
    }
    Node(const Node&) = delete;

    Bytes seal(int peer, const Bytes& header, const Bytes& payload) {
        Bytes sealed(payload.size() + kSealOverhead);
        sealer->seal(NodeId{static_cast<std::uint8_t>(peer)}, header, payload, sealed);
        return sealed;
    }
    std::optional<Bytes> open(int peer, const Bytes& header, const Bytes& sealed) {
        const auto plain = sealer->open(NodeId{static_cast<std::uint8_t>(peer)}, header, sealed);
        if (!plain) return std::nullopt;
        return Bytes{plain->begin(), plain->end()};
    }

    std::optional<KeyRing> newer;
    Instant now{};
    std::shared_ptr<std::uint64_t> session;
    std::unique_ptr<FrameSealer> sealer;
};

const Bytes kHeader(kMtuOverhead, std::byte{5});
const Bytes kPayloadBytes(100, std::byte{0x5a});

TEST(Sealer, OpensWhatWasSealed) {
    Node a{0}, b{1};
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}}) {
        const Bytes payload(size, std::byte{9});
        const Bytes sealed = a.seal(1, kHeader, payload);
        EXPECT_EQ(b.open(0, kHeader, sealed), payload);
    }
    const Bytes sealed = a.seal(1, kHeader, kPayloadBytes);
    EXPECT_EQ(
        std::search(sealed.begin(), sealed.end(), kPayloadBytes.begin(), kPayloadBytes.begin() + 8),
        sealed.end());
}

TEST(Sealer, EveryFlippedBitIsFound) {
    Node a{0}, b{1};
    const Bytes sealed = a.seal(1, kHeader, Bytes(20));
    for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
        Bytes changed = sealed;
        changed[bit / 8] ^= std::byte{1} << bit % 8;
        EXPECT_FALSE(b.open(0, kHeader, changed)) << bit;
    }
    for (std::size_t bit = 0; bit < 8 * kHeader.size(); ++bit) {
        Bytes changed = kHeader;
        changed[bit / 8] ^= std::byte{1} << bit % 8;
        EXPECT_FALSE(b.open(0, changed, sealed)) << bit;
    }
    EXPECT_TRUE(b.open(0, kHeader, sealed)) << "forgeries must not close the window";
    EXPECT_EQ(b.sealer->counters().opened, 1u);
}

TEST(Sealer, TruncationIsRejected) {
    Node a{0}, b{1};
    const Bytes sealed = a.seal(1, kHeader, kPayloadBytes);
    for (std::size_t size = 0; size < sealed.size(); ++size)
        EXPECT_FALSE(b.open(
            0, kHeader, Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size))));
}

TEST(Sealer, NothingIsTakenTwiceAndReorderingIsFine) {
    Node a{0}, b{1};
    std::vector<Bytes> sealed;
    for (int i = 0; i < 100; ++i) sealed.push_back(a.seal(1, kHeader, kPayloadBytes));
    for (std::size_t i = sealed.size(); i-- > 0;) EXPECT_TRUE(b.open(0, kHeader, sealed[i])) << i;
    for (const Bytes& again : sealed) EXPECT_FALSE(b.open(0, kHeader, again));
    EXPECT_EQ(b.sealer->counters().replayed, 100u);
}

TEST(Sealer, AnotherGuestClusterOrDirectionIsRejected) {
    Node a{0}, b{1}, other_guest{1, ring({1}), 8}, c{2};
    KeyRing changed = ring({1});
    changed.keys[0].bytes[0] = std::byte{0xff};
    Node other_cluster{1, changed}, unknown{1, ring({2})};
    const Bytes sealed = a.seal(1, kHeader, kPayloadBytes);
    EXPECT_FALSE(other_guest.open(0, kHeader, sealed));
    EXPECT_FALSE(other_cluster.open(0, kHeader, sealed));
    EXPECT_FALSE(unknown.open(0, kHeader, sealed));
    EXPECT_EQ(unknown.sealer->counters().unknown_key, 1u);
    EXPECT_FALSE(c.open(0, kHeader, sealed)) << "it was for node 1";
    EXPECT_FALSE(b.open(2, kHeader, sealed)) << "it was from node 0";
    EXPECT_FALSE(a.open(1, kHeader, sealed)) << "its own, reflected";
}

TEST(Sealer, FramesOfAnEarlierStartAreOld) {
    Node before{0}, after{0, ring({1}), 7, 2000}, b{1};
    const Bytes old = before.seal(1, kHeader, kPayloadBytes);
    EXPECT_TRUE(b.open(0, kHeader, old));
    EXPECT_TRUE(b.open(0, kHeader, after.seal(1, kHeader, kPayloadBytes)));
    EXPECT_FALSE(b.open(0, kHeader, old));
    EXPECT_FALSE(b.open(0, kHeader, before.seal(1, kHeader, kPayloadBytes)));
}

TEST(Sealer, KeysAreChangedWithoutLosingAFrame) {
    Node a{0}, b{1};
    const auto exchange = [&] {
        EXPECT_TRUE(b.open(0, kHeader, a.seal(1, kHeader, kPayloadBytes)));
        EXPECT_TRUE(a.open(1, kHeader, b.seal(0, kHeader, kPayloadBytes)));
    };
    const auto give = [&](Node& node, KeyRing keys) {
        node.newer = std::move(keys);
        node.now += 2s;
        exchange();
    };
    exchange();
    give(a, ring({2, 1}));
    give(b, ring({2, 1}));
    const Bytes with_old_key = a.seal(1, kHeader, kPayloadBytes);
    give(a, ring({1, 2}));
    give(b, ring({1, 2}));
    give(a, ring({2}));
    give(b, ring({2}));
    EXPECT_FALSE(b.open(0, kHeader, with_old_key));
}

TEST(Sealer, ReplayWindow) {
    ReplayWindow window;
    EXPECT_FALSE(window.seen(0));
    window.add(5);
    EXPECT_TRUE(window.seen(5));
    EXPECT_FALSE(window.seen(4));
    window.add(5 + ReplayWindow::kSize);
    EXPECT_TRUE(window.seen(5)) << "too old to tell";
    EXPECT_FALSE(window.seen(6));
    window.add(5 + 10 * ReplayWindow::kSize);
    EXPECT_FALSE(window.seen(4 + 10 * ReplayWindow::kSize));
    EXPECT_TRUE(window.seen(6));
}

TEST(KeyRing, SaysWhichLineIsWrong) {
    const std::string digits(64, 'a');
    const auto error = [](const std::string& text) {
        auto keys = parse_keys(text);
        return keys ? "" : keys.error().message;
    };
    EXPECT_EQ(error("# of the lab\n\n1 " + digits + "\n2 " + digits), "");
    const std::string wrong = ": not a number from 1 to 65535 and 64 hexadecimal digits";
    for (const std::string& line :
         {std::string{"1"}, "0 " + digits, "65536 " + digits, "1 " + digits + "0",
          "1 " + digits.substr(1), "1 x" + digits.substr(1), "a " + digits})
        EXPECT_EQ(error("\n" + line), "line 2" + wrong) << line;
    EXPECT_EQ(error("1 " + digits + "\n1 " + digits), "line 2: a second key of that number");
    EXPECT_EQ(error("#\n"), "no key in it");
}

class KeyFileTest : public testing::Test {
  protected:
    void write(const std::string& text) { std::ofstream{path_} << text; }
    void TearDown() override { std::filesystem::remove(path_); }
    const std::string path_ = testing::TempDir() + "vsmp-key-" + std::to_string(::getpid());
    const std::string digits_ = std::string(64, 'a');
};

TEST_F(KeyFileTest, WhatIsNoFileIsRefusedAtOnce) {
    std::filesystem::remove(path_);
    ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);  // reading it would wait for a writer
    auto fifo = KeyFile::open(path_);
    ASSERT_FALSE(fifo);
    EXPECT_EQ(fifo.error().message, "key file " + path_ + ": not a file");
    auto folder = KeyFile::open("/");
    EXPECT_FALSE(folder);
}

TEST_F(KeyFileTest, MustBePrivateAndIsReadAgainWhenItChanges) {
    write("1 " + digits_ + "\n");
    ASSERT_EQ(::chmod(path_.c_str(), 0644), 0);
    auto open_to_all = KeyFile::open(path_);
    ASSERT_FALSE(open_to_all);
    EXPECT_EQ(open_to_all.error().message,
              "key file " + path_ + ": others than its owner may use it; chmod 600");
    ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
    auto file = KeyFile::open(path_);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_FALSE(file->newer());
    // As one should: a new file in the place of the old one.
    const std::string next = path_ + ".new";
    std::ofstream{next} << "1 " + digits_ + "\n2 " + digits_ + "\n";
    ASSERT_EQ(::chmod(next.c_str(), 0600), 0);
    std::filesystem::rename(next, path_);
    const auto keys = file->newer();
    ASSERT_TRUE(keys);
    EXPECT_EQ(keys->keys.back().id, 2);
    EXPECT_FALSE(file->newer());
}

// Two fabrics with the key, a third node that has another: only the first two hear each other.
TEST(Sealer, FabricsWithTheKeyTalkAndOthersAreNotHeard) {
    auto ports = make_memory_segment(3);
    std::vector<std::unique_ptr<Fabric>> nodes;
    for (std::uint8_t i = 0; i < 3; ++i) {
        std::vector<std::unique_ptr<Port>> one;
        one.push_back(std::move(ports[i]));
        nodes.push_back(*make_fabric(
            {.self = NodeId{i}, .node_count = 3, .guest = 7, .incarnation = i + 1u, .timing = {}},
            std::move(one),
            make_aead_sealer({.self = NodeId{i},
                              .guest = 7,
                              .keys = ring({static_cast<std::uint16_t>(i < 2 ? 1 : 2)}),
                              .newer_keys = {},
                              .session_clock = {},
                              .clock = {}})));
    }
    const Bytes page(4096, std::byte{3});
    for (int i = 0; i < 50; ++i) nodes[0]->send(NodeId{1}, Channel::test, page);
    nodes[2]->send(NodeId{1}, Channel::test, page);
    std::size_t received = 0;
    Instant now{1s};
    for (int step = 0; step < 2000; ++step, now += 1ms)
        for (auto& node : nodes)
            node->poll(now, [&](NodeId from, Channel, ByteView payload) {
                EXPECT_EQ(from, NodeId{0});
                EXPECT_TRUE(std::ranges::equal(payload, page));
                ++received;
            });
    EXPECT_EQ(received, 50u);
    EXPECT_EQ(nodes[1]->peer_state(NodeId{0}), PeerState::up);
    EXPECT_EQ(nodes[1]->peer_state(NodeId{2}), PeerState::connecting);
}

}  // namespace
}  // namespace vsmp::fabric
