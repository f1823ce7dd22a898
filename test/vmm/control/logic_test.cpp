// The pure parts: when to spread, whether hosts fit together, conversions.
#include <gtest/gtest.h>

#include <cstring>

#include "vmm/control/convert.hpp"
#include "vmm/control/local_links.hpp"
#include "vmm/control/node_peer.hpp"
#include "vmm/control/preflight.hpp"
#include "vmm/control/spread.hpp"
#include "vmm/control/stats_rounds.hpp"

namespace vsmp::control {
namespace {

GuestConfig two_nodes() {
    GuestConfig guest;
    guest.name = "g";
    guest.vcpu_count = 2;
    for (std::uint8_t i = 0; i < 2; ++i)
        guest.nodes.push_back({.id = NodeId{i},
                               .host = "local",
                               .memory_bytes = 1 << 20,
                               .vcpus = {VcpuId{i}},
                               .links = {AutoLink{}}});
    guest.distances = {{10, 20}, {21, 10}};
    return guest;
}

std::vector<NodeStats> all_on_node_0(VcpuActivity first, VcpuActivity second) {
    std::vector<NodeStats> stats(2);
    for (std::size_t node = 0; node < 2; ++node)
        stats[node].vcpus = {{.id = VcpuId{0}, .here = node == 0, .activity = first},
                             {.id = VcpuId{1}, .here = node == 0, .activity = second}};
    return stats;
}
const auto kHalted = VcpuActivity::halted;
const auto kRunning = VcpuActivity::running;
const auto kWaiting = VcpuActivity::waiting;

std::vector<NodeStats> spread_out() {
    auto stats = all_on_node_0(kRunning, kRunning);
    std::swap(stats[0].vcpus[1].here, stats[1].vcpus[1].here);
    return stats;
}
const std::vector kShipTheSecond{ShipOrder{VcpuId{1}, NodeId{0}, NodeId{1}}};

TEST(SpreadPlan, ShipsWhenAllRestedForFourRoundsRunning) {
    SpreadPlan plan{two_nodes(), ""};
    EXPECT_TRUE(plan.wants_stats());
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(plan.on_stats(all_on_node_0(kHalted, kHalted)).empty());
    EXPECT_TRUE(plan.on_stats(all_on_node_0(kRunning, kHalted)).empty());  // starts anew
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(plan.on_stats(all_on_node_0(kHalted, kHalted)).empty());
    EXPECT_EQ(plan.on_stats(all_on_node_0(kHalted, kHalted)), kShipTheSecond);
    EXPECT_FALSE(plan.done());
    EXPECT_TRUE(plan.on_stats(spread_out()).empty());
    EXPECT_TRUE(plan.done());
    EXPECT_FALSE(plan.wants_stats());
}

TEST(SpreadPlan, WaitsForEveryVcpuToBeStarted) {
    SpreadPlan plan{two_nodes(), ""};
    for (int i = 0; i < 20; ++i)
        EXPECT_TRUE(plan.on_stats(all_on_node_0(kHalted, kWaiting)).empty());
    EXPECT_FALSE(plan.done());
}

TEST(SpreadPlan, VcpuThatStartsLateFollows) {
    SpreadPlan plan{two_nodes(), "login:"};
    plan.on_console("login:");
    EXPECT_TRUE(plan.on_stats(all_on_node_0(kRunning, kWaiting)).empty());
    EXPECT_TRUE(plan.wants_stats());
    EXPECT_EQ(plan.on_stats(all_on_node_0(kRunning, kRunning)), kShipTheSecond);
}

TEST(SpreadPlan, ShipThatDidNotHappenIsOrderedAgain) {
    SpreadPlan plan{two_nodes(), "login:"};
    plan.on_console("login:");
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(plan.on_stats(all_on_node_0(kRunning, kRunning)), kShipTheSecond);
}

TEST(SpreadPlan, WhatWasSeenInItsPlaceIsLeftAlone) {
    SpreadPlan plan{two_nodes(), "login:"};
    plan.on_console("login:");
    EXPECT_TRUE(plan.on_stats(spread_out()).empty());
    EXPECT_TRUE(plan.on_stats(all_on_node_0(kRunning, kRunning)).empty());
}

TEST(SpreadPlan, MarkerMayComeInPieces) {
    SpreadPlan plan{two_nodes(), "login:"};
    EXPECT_FALSE(plan.wants_stats());
    EXPECT_FALSE(plan.on_console("log"));
    EXPECT_FALSE(plan.on_console("logi"));
    EXPECT_TRUE(plan.on_console("n: "));
    EXPECT_EQ(plan.on_stats(all_on_node_0(kRunning, kRunning)).size(), 1u);
}

TEST(SpreadPlan, NothingToDoIsDoneAtOnce) {
    GuestConfig guest = two_nodes();
    guest.spread = Spread::none;
    EXPECT_TRUE((SpreadPlan{guest, ""}.done()));
    guest = two_nodes();
    std::swap(guest.nodes[0].vcpus, guest.nodes[1].vcpus);
    EXPECT_FALSE((SpreadPlan{guest, ""}.done()));
    guest.nodes[0].vcpus = {VcpuId{0}, VcpuId{1}};
    guest.nodes[1].vcpus = {};
    EXPECT_TRUE((SpreadPlan{guest, ""}.done()));
}

NodeFacts good_facts() {
    return {.host_kernel = "6.4.0", .tsc_khz = 1'000'000, .nested_paging = true, .cpuid = {}};
}
Result<CommonGround> ground(const NodeFacts& second, GuestKind kind = GuestKind::operating_system) {
    return find_common_ground(two_nodes(), kind, {good_facts(), second},
                              [](auto hosts) { return Result{hosts.front()}; });
}

TEST(CommonGround, EqualHostsFit) {
    auto result = ground(good_facts());
    ASSERT_TRUE(result);
    EXPECT_EQ(result->tsc_khz, 1'000'000u);
}

TEST(CommonGround, TscMayDifferByAThousandth) {
    NodeFacts facts = good_facts();
    facts.tsc_khz = 1'001'000;
    EXPECT_TRUE(ground(facts));
    facts.tsc_khz = 998'999;
    EXPECT_FALSE(ground(facts));
}

TEST(CommonGround, OldOrStrangeKernelsAreRefused) {
    for (const char* release : {"6.3.9", "5.19", "", "x.y", "6"}) {
        NodeFacts facts = good_facts();
        facts.host_kernel = release;
        EXPECT_FALSE(ground(facts)) << release;
    }
    NodeFacts facts = good_facts();
    facts.host_kernel = "7.0";
    EXPECT_TRUE(ground(facts));
}

TEST(CommonGround, ShadowPagingIsForMicroGuestsOnly) {
    NodeFacts facts = good_facts();
    facts.nested_paging = false;
    auto refused = ground(facts);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message,
              "node 1 (local): its KVM has no nested paging (NPT or EPT); without it an operating "
              "system can only run on one node");
    EXPECT_TRUE(ground(facts, GuestKind::micro_guest));
}

std::vector<std::byte> elf_with_note(const char* owner) {
    std::vector<std::byte> file(64 + 56 + 12 + 8);
    const auto put = [&](std::size_t at, std::initializer_list<int> bytes) {
        for (int b : bytes) file[at++] = std::byte(b);
    };
    put(0, {0x7f, 'E', 'L', 'F', 2, 1, 1});
    put(18, {62});
    put(32, {64});       // e_phoff
    put(56, {1});        // e_phnum
    put(64, {4});        // PT_NOTE
    put(64 + 8, {120});  // p_offset
    put(64 + 32, {20});  // p_filesz
    put(120, {5});       // n_namesz
    std::memcpy(file.data() + 132, owner, 5);
    return file;
}

TEST(MicroGuest, IsKnownByItsNote) {
    EXPECT_TRUE(is_micro_guest(elf_with_note("vsmp")));
    EXPECT_FALSE(is_micro_guest(elf_with_note("Xen\0")));
    auto file = elf_with_note("vsmp");
    for (std::size_t size = 0; size < file.size() - 3; ++size)  // truncated anywhere: no
        EXPECT_FALSE(is_micro_guest(ByteView{file}.first(size))) << size;
}

TEST(PlaceNodes, LocalOverridesHosts) {
    GuestConfig guest = two_nodes();
    guest.nodes[1].host = "elsewhere";
    EXPECT_FALSE(place_nodes(guest, std::nullopt));
    EXPECT_FALSE(place_nodes(guest, 3));
    EXPECT_TRUE(place_nodes(guest, 2));
    EXPECT_EQ(guest.nodes[1].host, "local");
    guest.nodes[0].links = {AfPacketLink{"eth0"}, AfPacketLink{"eth1"}};
    EXPECT_TRUE(place_nodes(guest, 2));
    guest.nodes[1].links = {AfPacketLink{"eth1"}};
    EXPECT_FALSE(place_nodes(guest, 2));
}

TEST(SplitHost, KnowsPorts) {
    using Pair = std::pair<std::string, std::string>;
    EXPECT_EQ(split_host("h"), (Pair{"h", "7420"}));
    EXPECT_EQ(split_host("h:1"), (Pair{"h", "1"}));
    EXPECT_EQ(split_host("[::1]:2"), (Pair{"::1", "2"}));
    EXPECT_EQ(split_host("[::1]"), (Pair{"::1", "7420"}));
    EXPECT_EQ(split_host("fe80::1"), (Pair{"fe80::1", "7420"}));
}

TEST(Convert, GuestConfigSurvives) {
    GuestConfig guest = two_nodes();
    guest.uuid = "u";
    guest.boot = {.kernel = "/k", .initrd = "/i", .command_line = "c"};
    guest.policy = "threshold";
    guest.spread = Spread::none;
    guest.vlan = 5;
    guest.read_ahead = 3;
    guest.companions = 5;
    guest.large_pages = true;
    guest.nodes[0].links = {PciLink{"0000:01:00.0"}, AfPacketLink{"eth1"}};
    guest.nodes[1].links = {VhostUserLink{"/s"}};
    guest.nodes[1].memory_limit_bytes = guest.nodes[1].memory_bytes + (1u << 20);
    wire::GuestConfig wire;
    to_wire(guest, wire);
    auto back = from_wire(wire);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->name, guest.name);
    EXPECT_EQ(back->uuid, guest.uuid);
    EXPECT_EQ(back->vcpu_count, guest.vcpu_count);
    EXPECT_EQ(back->distances, guest.distances);
    EXPECT_EQ(back->boot.command_line, "c");
    EXPECT_EQ(back->policy, guest.policy);
    EXPECT_EQ(back->spread, guest.spread);
    EXPECT_EQ(back->hold, guest.hold);
    EXPECT_EQ(back->vlan, guest.vlan);
    EXPECT_EQ(back->read_ahead, 3u);
    EXPECT_EQ(back->companions, 5u);
    EXPECT_TRUE(back->large_pages);
    EXPECT_EQ(std::get<PciLink>(back->nodes[0].links.at(0)).address, "0000:01:00.0");
    EXPECT_EQ(std::get<AfPacketLink>(back->nodes[0].links.at(1)).interface, "eth1");
    EXPECT_EQ(std::get<VhostUserLink>(back->nodes[1].links.at(0)).socket, "/s");
    EXPECT_EQ(back->nodes[1].vcpus, guest.nodes[1].vcpus);
    EXPECT_EQ(back->nodes[0].memory_limit_bytes, 0u);
    EXPECT_EQ(back->nodes[1].memory_limit_bytes, guest.nodes[1].memory_limit_bytes);
}

TEST(Convert, NonsenseFromAPeerIsAnError) {
    wire::GuestConfig good;
    to_wire(two_nodes(), good);
    const auto broken = [&](auto change) {
        wire::GuestConfig wire = good;
        change(wire);
        return !from_wire(wire);
    };
    EXPECT_TRUE(broken([](auto& w) { w.clear_nodes(); }));
    EXPECT_TRUE(broken([](auto& w) { w.set_vcpu_count(0); }));
    EXPECT_TRUE(broken([](auto& w) { w.set_vcpu_count(256); }));
    EXPECT_TRUE(broken([](auto& w) { w.set_distances("abc"); }));
    EXPECT_TRUE(broken([](auto& w) { w.set_vlan(4095); }));
    EXPECT_TRUE(broken([](auto& w) { w.set_read_ahead(513); }));
    EXPECT_TRUE(broken([](auto& w) { w.set_companions(49); }));
    EXPECT_TRUE(broken([](auto& w) { w.mutable_nodes(0)->set_id(1); }));
    EXPECT_TRUE(broken([](auto& w) { w.mutable_nodes(0)->set_memory_bytes(0); }));
    EXPECT_TRUE(broken([](auto& w) { w.mutable_nodes(0)->set_memory_limit_bytes(4096); }));
    EXPECT_TRUE(broken([](auto& w) { w.mutable_nodes(0)->add_vcpus(2); }));
    EXPECT_TRUE(broken([](auto& w) { w.mutable_nodes(0)->clear_links(); }));
    wire::Prepare prepare;
    *prepare.mutable_guest() = good;
    EXPECT_TRUE(from_wire(prepare));
    prepare.set_self(2);
    EXPECT_FALSE(from_wire(prepare));
    prepare.set_self(0);
    prepare.set_kernel_bytes(1ull << 40);
    EXPECT_FALSE(from_wire(prepare));
}

TEST(StatsRounds, CompleteWhenEveryNodeAnswered) {
    StatsRounds rounds{2};
    int calls = 0;
    const auto request = rounds.begin([&](const std::vector<NodeStats>& stats) {
        ++calls;
        EXPECT_EQ(stats[1].faults, 7u);
    });
    NodeStats seven;
    seven.faults = 7;
    rounds.on_stats(NodeId{1}, request, seven);
    rounds.on_stats(NodeId{1}, request + 1, seven);  // nobody asked
    EXPECT_EQ(calls, 0);
    rounds.on_stats(NodeId{0}, request, {});
    rounds.on_stats(NodeId{0}, request, {});
    EXPECT_EQ(calls, 1);
}

TEST(LinkCommands, TwoNodesOneVethMoreABridge) {
    EXPECT_EQ(link_commands(2).find("bridge"), std::string::npos);
    const std::string three = link_commands(3);
    EXPECT_NE(three.find("bridge"), std::string::npos);
    EXPECT_NE(three.find("vsmp2 mtu 9000 type veth"), std::string::npos);
    EXPECT_NE(link_commands(2, 1).find("vsmp0-1 mtu 9000 type veth peer name vsmp1-1"),
              std::string::npos);
}

}  // namespace
}  // namespace vsmp::control
