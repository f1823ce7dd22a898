// A guest whose nodes have two links, one of which goes down under way: it does not notice, and
// `vsmpctl stats` says where the traffic went.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "test/e2e/intruder.hpp"
#include "test/e2e/micro_guest.hpp"
#include "test/own_folder.hpp"
#include "test/skip.hpp"

namespace vsmp::e2e {
namespace {

class Links : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
        if (::geteuid() != 0) VSMP_SKIP() << "network namespaces need root";
    }
    // Until every node has a path of which it holds.
    template <class Holds>
    static bool all_nodes_have(MicroGuest& guest, std::size_t path, Holds holds) {
        const auto deadline = std::chrono::steady_clock::now() + patience(std::chrono::seconds(30));
        while (std::chrono::steady_clock::now() < deadline) {
            const auto stats = guest.stats();
            if (stats.size() == 2 && std::ranges::all_of(stats, [&](const wire::NodeStats& node) {
                    return static_cast<std::size_t>(node.paths_size()) > path &&
                           holds(node.paths(static_cast<int>(path)));
                }))
                return true;
        }
        return false;
    }
};

TEST_F(Links, AGuestOutlivesOneOfTwo) {
    const std::uint64_t versions = emulated() ? 400 : 1000;
    MicroGuest guest{
        Machine{.link = "type='auto'/><v:link type='auto'"}, "share", {0, versions}, Begin::spread};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    const auto carries = [](const wire::PathStats& path) {
        return path.state() == wire::PathStats::UP && path.frames_received() > 10;
    };
    guest.type_line();
    EXPECT_TRUE(all_nodes_have(guest, 0, carries)) << guest.vsmpctl({"stats"});
    EXPECT_TRUE(all_nodes_have(guest, 1, carries)) << guest.vsmpctl({"stats"});
    {
        const InNamespaceOf node{guest.scratch().node_process(0).value()};
        ASSERT_EQ(std::system("ip link set vsmp0 down"), 0);
    }
    EXPECT_TRUE(all_nodes_have(guest, 0, [](const wire::PathStats& path) {
        return path.state() == wire::PathStats::SILENT;
    })) << guest.vsmpctl({"stats"});
    const std::string stats = guest.vsmpctl({"stats"});
    EXPECT_NE(stats.find("af_packet on vsmp0-1"), stats.npos) << stats;
    EXPECT_NE(stats.find("silent"), stats.npos) << stats;
    std::cout << stats;
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
    EXPECT_EQ(guest.reports(0, 1), std::vector<std::uint64_t>{versions});
    EXPECT_NE(guest.transcript().find("over af_packet on vsmp0 is silent"), std::string::npos)
        << guest.transcript();
}

TEST_F(Links, TwoVhostUserSocketsShareTheTraffic) {
    const test::OwnFolder folder;
    const std::string one = "type='vhost-user' socket='" + folder.path() + "/one'",
                      other = "type='vhost-user' socket='" + folder.path() + "/other'";
    MicroGuest guest{Machine{.link = one + "/><v:link " + other}, "share", {0, 100}, Begin::spread};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    guest.type_line();
    const auto up = [](const wire::PathStats& path) {
        return path.state() == wire::PathStats::UP && path.frames_received() > 0;
    };
    EXPECT_TRUE(all_nodes_have(guest, 0, up)) << guest.vsmpctl({"stats"});
    EXPECT_TRUE(all_nodes_have(guest, 1, up)) << guest.vsmpctl({"stats"});
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
}

}  // namespace
}  // namespace vsmp::e2e
