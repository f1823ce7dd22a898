#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <thread>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/memory_port.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

std::vector<std::unique_ptr<Port>> one(std::unique_ptr<Port> port) {
    std::vector<std::unique_ptr<Port>> ports;
    ports.push_back(std::move(port));
    return ports;
}

FabricOptions options_of(std::size_t self, std::size_t count) {
    FabricOptions options;
    options.self = NodeId{static_cast<std::uint8_t>(self)};
    options.node_count = count;
    options.guest = 99;
    options.incarnation = static_cast<std::uint32_t>(self + 1);
    return options;
}

std::vector<std::unique_ptr<Fabric>> fabrics(std::size_t count, MemorySegmentOptions wire = {}) {
    std::vector<std::unique_ptr<Fabric>> made;
    auto ports = make_memory_segment(count, std::move(wire));
    for (std::size_t i = 0; i < count; ++i)
        made.push_back(*make_fabric(options_of(i, count), one(std::move(ports[i]))));
    return made;
}

using Received = std::vector<std::pair<int, std::size_t>>;  // from, size of the payload

// Polls all, time standing still between deadlines, until `done` or nothing is left to wait for.
template <class Done>
bool run(std::vector<std::unique_ptr<Fabric>>& nodes, std::vector<Received>& received, Done done) {
    Instant now{1s};
    for (int step = 0; step < 100000; ++step) {
        bool any = false;
        for (std::size_t i = 0; i < nodes.size(); ++i)
            any = nodes[i]->poll(now, [&](NodeId from, Channel, ByteView payload) {
                received[i].emplace_back(from.value(), payload.size());
            }) || any;
        if (done()) return true;
        if (any) continue;
        std::optional<Instant> next;
        for (auto& node : nodes)
            if (const auto at = node->next_deadline(); at && (!next || *at < *next)) next = at;
        if (!next) return false;
        now = std::max(now + 1us, *next);
    }
    return false;
}

TEST(Fabric, FourNodesOnOneSegmentReachEachOther) {
    auto nodes = fabrics(4);
    std::vector<Received> received(4);
    const std::vector<std::byte> body(kPageSize);
    for (std::size_t from = 0; from < 4; ++from)
        for (std::size_t to = 0; to < 4; ++to)
            if (from != to)
                for (std::size_t i = 0; i < 300; ++i)
                    nodes[from]->send(NodeId{static_cast<std::uint8_t>(to)}, Channel::test,
                                      ByteView{body}.first(i), body);
    EXPECT_TRUE(run(nodes, received, [&] {
        return std::ranges::all_of(received, [](const Received& r) { return r.size() == 900; });
    }));
    for (const Received& at : received) {
        std::array<std::size_t, 4> next{};
        for (const auto& [from, size] : at)
            EXPECT_EQ(size, kPageSize + next[static_cast<std::size_t>(from)]++);
    }
    EXPECT_EQ(nodes[0]->peer_state(NodeId{3}), PeerState::up);
    EXPECT_EQ(nodes[0]->counters(NodeId{3}).messages_sent, 300u);
    EXPECT_EQ(nodes[0]->counters(NodeId{3}).messages_received, 300u);
}

TEST(Fabric, DropsOnTheWireAreRepaired) {
    std::uint64_t frame_number = 0;
    MemorySegmentOptions wire;
    wire.copies = [&](ByteView) -> std::size_t {
        ++frame_number;
        if (frame_number % 7 == 0) return 0;
        return frame_number % 11 == 0 ? 2 : 1;
    };
    auto nodes = fabrics(2, wire);
    std::vector<Received> received(2);
    for (std::size_t i = 0; i < 400; ++i) {
        const std::vector<std::byte> bytes(i);
        nodes[0]->send(NodeId{1}, Channel::test, bytes);
    }
    EXPECT_TRUE(run(nodes, received, [&] { return received[1].size() == 400; }));
    for (std::size_t i = 0; i < received[1].size(); ++i) EXPECT_EQ(received[1][i].second, i);
    EXPECT_GT(nodes[0]->counters(NodeId{1}).retransmissions, 0u);
    EXPECT_GT(nodes[1]->counters(NodeId{0}).duplicates, 0u);
}

// A stranger's frames to node 0, each wrong in one thing.
TEST(Fabric, WhatIsDroppedIsCountedByWhy) {
    auto ports = make_memory_segment(2);
    Port& stranger = *ports[1];
    FabricOptions options = options_of(0, 2);
    options.integrity = Integrity::checksum;
    auto node = *make_fabric(options, one(std::move(ports[0])));
    FrameHeader hello;
    hello.kind = FrameKind::hello;
    hello.from = NodeId{1};
    hello.sender = LinkIncarnation{7};
    hello.mtu = 9000;
    const auto send = [&](const FrameContext& context, std::size_t size, std::size_t flipped) {
        std::array<std::byte, kHeaderSize> frame{};
        encode_frame(context, kBroadcastMac, stranger.mac(), hello, {}, frame);
        if (flipped > 0) frame[flipped] ^= std::byte{0x40};
        ASSERT_TRUE(stranger.queue_copy(ByteView{frame}.first(size), {}));
        ASSERT_TRUE(stranger.flush());
    };
    const FrameContext right{
        .guest = 99, .self = NodeId{1}, .node_count = 2, .integrity = Integrity::checksum};
    FrameContext cluster = right, open = right;
    cluster.cluster = 5;
    open.integrity = Integrity::none;
    std::size_t sent = 0;
    for (const FrameContext& context : {cluster, open}) send(context, kHeaderSize, 0), ++sent;
    for (std::size_t at :
         {field::kVersion, field::kGuest, field::kTo, field::kCredit, std::size_t{12}})
        send(right, kHeaderSize, at), ++sent;
    send(right, kHeaderSize - 1, 0), ++sent;
    node->poll(Instant{1s}, [](NodeId, Channel, ByteView) { FAIL() << "a stranger was heard"; });
    const DropCounters drops = node->drops();
    EXPECT_EQ(drops.other_cluster, 1u);
    EXPECT_EQ(drops.unprotected, 1u);
    EXPECT_EQ(drops.other_version, 1u);
    EXPECT_EQ(drops.other_guest, 1u);
    EXPECT_EQ(drops.other_destination, 1u);
    EXPECT_EQ(drops.damaged, 1u);
    EXPECT_EQ(drops.other_traffic, 1u);
    EXPECT_EQ(drops.malformed, 1u);
    EXPECT_EQ(sent, 8u);
    const auto paths = node->paths(NodeId{1});
    ASSERT_EQ(paths.size(), 1u);
    EXPECT_EQ(paths[0].state, PathStats::State::unknown);
    EXPECT_EQ(paths[0].frames_received, 0u);
}

TEST(Fabric, FramesOfAnotherGuestAreIgnored) {
    auto ports = make_memory_segment(2);
    FabricOptions other = options_of(1, 2);
    other.guest = 100;
    std::vector<std::unique_ptr<Fabric>> nodes;
    nodes.push_back(*make_fabric(options_of(0, 2), one(std::move(ports[0]))));
    nodes.push_back(*make_fabric(other, one(std::move(ports[1]))));
    std::vector<Received> received(2);
    const auto lost = [&] { return nodes[0]->peer_state(NodeId{1}) == PeerState::lost; };
    EXPECT_TRUE(run(nodes, received, lost));
    EXPECT_EQ(nodes[0]->peer_problem(NodeId{1}), "no answer from node 1 for 60 s");
}

TEST(Fabric, NodeOfAnotherVersionIsNamed) {
    auto ports = make_memory_segment(2);
    auto node = *make_fabric(options_of(0, 2), one(std::move(ports[0])));
    std::array<std::byte, kHeaderSize> frame;
    FrameHeader hello;
    hello.kind = FrameKind::hello;
    hello.from = NodeId{1};
    hello.to = NodeId{0};
    hello.sender = LinkIncarnation{5};
    hello.mtu = 9000;
    encode_frame({99, NodeId{1}, 2, 0}, kBroadcastMac, ports[1]->mac(), hello, {}, frame);
    frame[kEthernetHeaderSize] = std::byte{kProtocolVersion + 1};
    for (int i = 0; i < 3; ++i) ports[1]->queue_copy(frame, {});
    ports[1]->flush();
    EXPECT_TRUE(node->poll(Instant{1s}, [](NodeId, Channel, ByteView) {}));
    EXPECT_EQ(node->peer_state(NodeId{1}), PeerState::lost);
    EXPECT_EQ(node->peer_problem(NodeId{1}), "node 1 speaks protocol version 4, this node 3");
}

TEST(Fabric, OnePortForEachPeer) {
    auto left = make_memory_segment(2), right = make_memory_segment(2);
    std::vector<std::unique_ptr<Port>> middle;
    middle.push_back(std::move(left[1]));
    middle.push_back(std::move(right[0]));
    std::vector<std::unique_ptr<Fabric>> nodes;
    nodes.push_back(*make_fabric(options_of(0, 3), one(std::move(left[0]))));
    nodes.push_back(*make_fabric(options_of(1, 3), std::move(middle)));
    nodes.push_back(*make_fabric(options_of(2, 3), one(std::move(right[1]))));
    std::vector<Received> received(3);
    nodes[1]->send(NodeId{0}, Channel::test, {});
    nodes[1]->send(NodeId{2}, Channel::test, {});
    EXPECT_TRUE(run(nodes, received, [&] { return received[0].size() + received[2].size() == 2; }));
    EXPECT_EQ(received[0].size(), 1u);
}

TEST(Fabric, AnswersCarryTheAcknowledgement) {
    auto nodes = fabrics(2);
    std::vector<Received> received(2);
    run(nodes, received, [&] {
        return nodes[0]->peer_state(NodeId{1}) == PeerState::up &&
               nodes[1]->peer_state(NodeId{0}) == PeerState::up;
    });
    run(nodes, received, [] { return false; });
    const auto before = nodes[1]->counters(NodeId{0}).frames_sent;
    const Instant now{2s};
    constexpr int kRounds = 100;
    for (int i = 0; i < kRounds; ++i) {
        nodes[0]->send(NodeId{1}, Channel::test, {});
        nodes[0]->poll(now, [](NodeId, Channel, ByteView) {});
        nodes[1]->poll(now, [&](NodeId from, Channel channel, ByteView) {
            nodes[1]->send(from, channel, {});
        });
        nodes[0]->poll(now, [](NodeId, Channel, ByteView) {});
    }
    EXPECT_EQ(nodes[1]->counters(NodeId{0}).frames_sent - before, kRounds);
}

TEST(Fabric, RefusesOptionsThatMakeNoSense) {
    const auto error_of = [](auto change, std::size_t mtu = 9000) {
        FabricOptions options = options_of(0, 2);
        change(options);
        auto made = make_fabric(options, one(std::move(make_memory_segment(2, {.mtu = mtu})[0])));
        return made ? std::string{} : made.error().message;
    };
    EXPECT_EQ(error_of([](FabricOptions&) {}), "");
    EXPECT_EQ(error_of([](FabricOptions& o) { o.node_count = 1; }), "a fabric has 2 to 64 nodes");
    EXPECT_EQ(error_of([](FabricOptions& o) { o.self = NodeId{2}; }), "node 2 of only 2");
    EXPECT_EQ(error_of([](FabricOptions& o) { o.vlan = 4095; }), "VLAN 4095 is not 1..4094");
    EXPECT_EQ(error_of([](FabricOptions&) {}, 1500), "");
    EXPECT_EQ(error_of([](FabricOptions&) {}, 500),
              "memory port 0: MTU 500 is too small, at least 576 is needed and 9000 is right");
}

// Two threads that sleep on the wake-up descriptor: a lost wake-up would show as a time-out.
TEST(Fabric, SleepingNodesAreWokenByFrames) {
    auto nodes = fabrics(2);
    constexpr int kRounds = 500;
    const auto node = [&](std::size_t self) {
        Fabric& fabric = *nodes[self];
        const NodeId peer{static_cast<std::uint8_t>(1 - self)};
        int left = kRounds;
        if (self == 0) fabric.send(peer, Channel::test, {});
        const auto answer = [&](NodeId from, Channel channel, ByteView) {
            --left;
            if (left > 0 || self == 1) fabric.send(from, channel, {});
        };
        while (left > 0 || fabric.next_deadline()) {
            if (fabric.poll(monotonic_now(), answer)) continue;
            if ((left == 0 && !fabric.next_deadline()) || !fabric.arm_wakeup()) continue;
            pollfd wait{fabric.wakeup_fd(), POLLIN, 0};
            int timeout_ms = 30000;
            if (const auto at = fabric.next_deadline())
                timeout_ms = std::max(0, static_cast<int>((*at - monotonic_now()) / 1ms) + 1);
            const int woken = ::poll(&wait, 1, timeout_ms);
            fabric.disarm_wakeup();
            if (woken == 0 && timeout_ms == 30000) return false;
        }
        return true;
    };
    bool other = false;
    std::thread thread{[&] { other = node(1); }};
    const bool mine = node(0);
    thread.join();
    EXPECT_TRUE(mine);
    EXPECT_TRUE(other);
}

}  // namespace
}  // namespace vsmp::fabric
