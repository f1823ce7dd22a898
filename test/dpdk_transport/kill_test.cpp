// A node is killed with SIGKILL while pages flow both ways, over and over: the other one lives, and
// talks to each successor of the dead one.
//
// VSMP_KILLS=40 makes the long form of it; the default suits a CI run.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <new>
#include <thread>

#include "dpdk_transport/bench/network_sandbox.hpp"
#include "test/dpdk_transport/node_process.hpp"
#include "test/own_folder.hpp"
#include "test/skip.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

int kills() {
    const char* given = std::getenv("VSMP_KILLS");
    return given == nullptr ? 3 : std::atoi(given);
}

struct Shared {
    // How many messages each node has received; a new process of it begins at 0.
    std::atomic<std::uint64_t> received[2];
    std::atomic<std::uint32_t> over;
};

// Full traffic until told otherwise. Who loses its peer starts anew with it.
int play(int self, const PortOptions& port, Shared& shared) {
    auto node = TestNode::open(self, {port}, {});
    if (!node) {
        std::cerr << "node " << self << ": " << node.error().message << "\n";
        return 1;
    }
    const NodeId peer{static_cast<std::uint8_t>(1 - self)};
    const std::vector<std::byte> page(kPageSize + 16);
    while (shared.over == 0) {
        while (!node->fabric->congested()) node->fabric->send(peer, Channel::test, page);
        node->turn([&](NodeId, Channel, ByteView) { ++shared.received[self]; });
        if (node->fabric->peer_state(peer) == PeerState::lost) node->fabric->reconnect(peer);
    }
    return 0;
}

class KillTest : public testing::Test {
  protected:
    void SetUp() override {
        void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        shared_ = new (memory) Shared{};
    }
    void TearDown() override { ::munmap(shared_, sizeof(Shared)); }

    // Both have heard something since the counts were cleared. False after 20 s.
    bool both_hear() {
        const Instant give_up = monotonic_now() + 20s;
        while (shared_->received[0] < 100 || shared_->received[1] < 100) {
            if (monotonic_now() > give_up) return false;
            std::this_thread::sleep_for(1ms);
        }
        return true;
    }
    void forget() { shared_->received[0] = shared_->received[1] = 0; }

    // `port_of` a node. The slowest successor's time from its start to talking both ways.
    template <class PortOf>
    void kill_over_and_over(int victim, PortOf port_of) {
        const auto start = [&](int self) {
            return in_child([&] { return play(self, port_of(self), *shared_); });
        };
        const pid_t survivor = start(1 - victim);
        Duration slowest{};
        for (int i = 0; i < kills(); ++i) {
            forget();
            const Instant began = monotonic_now();
            const pid_t dying = start(victim);
            ASSERT_TRUE(both_hear()) << "after " << i << " kills";
            if (i > 0) slowest = std::max(slowest, monotonic_now() - began);
            ::kill(dying, SIGKILL);
            EXPECT_EQ(exit_code(dying), 128 + SIGKILL);
            EXPECT_EQ(::waitpid(survivor, nullptr, WNOHANG), 0) << "the survivor is dead";
        }
        forget();
        const pid_t last = start(victim);
        EXPECT_TRUE(both_hear());
        shared_->over = 1;
        EXPECT_EQ(exit_code(survivor), 0);
        EXPECT_EQ(exit_code(last), 0);
        std::cout << "node " << victim << " killed " << kills()
                  << " times; slowest successor talked after " << slowest / 1ms << " ms"
                  << std::endl;  // perhaps in a child, which ends without flushing
    }

    Shared* shared_ = nullptr;
    test::OwnFolder folder_;
};

class KillEither : public KillTest, public testing::WithParamInterface<int> {};

TEST_P(KillEither, VhostUserSurvivorTalksToEachSuccessor) {
    kill_over_and_over(GetParam(), [&](int self) {
        VhostUserOptions port;
        port.socket = folder_.path() + "/link";
        port.role = self == 0 ? VhostRole::server : VhostRole::client;
        return PortOptions{port};
    });
}

TEST_P(KillEither, AfPacketSurvivorTalksToEachSuccessor) {
    if (::geteuid() != 0) VSMP_SKIP() << "network namespaces need root";
    const pid_t apart = in_child([&] {
        if (!enter_network_sandbox().empty() || !add_veth("kill0", "kill1")) return 10;
        kill_over_and_over(GetParam(), [&](int self) {
            return PortOptions{AfPacketOptions{"kill" + std::to_string(self)}};
        });
        return testing::Test::HasFailure() ? 1 : 0;
    });
    EXPECT_EQ(exit_code(apart), 0);
}
INSTANTIATE_TEST_SUITE_P(Kill, KillEither, testing::Values(0, 1));

}  // namespace
}  // namespace vsmp::fabric
