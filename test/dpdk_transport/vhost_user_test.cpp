// The vhost-user pair needs two processes, each with a DPDK of its own: the test's own process
// never starts one.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>

#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/open_port.hpp"
#include "proto/fd.hpp"
#include "proto/monotonic_clock.hpp"
#include "proto/socket_file.hpp"
#include "test/own_folder.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

constexpr int kMessages = 2000;

struct Loop {
    std::unique_ptr<Fabric> fabric;
    std::size_t sleeps = 0, wakes = 0;

    // Polls, and sleeps when nothing is there, until `done` or a minute has passed.
    template <class Done>
    bool run(const Fabric::Deliver& deliver, Done done) {
        const Instant deadline = monotonic_now() + 60s;
        while (!done()) {
            if (monotonic_now() > deadline) return false;
            if (fabric->poll(monotonic_now(), deliver) || !fabric->arm_wakeup()) continue;
            pollfd wait{fabric->wakeup_fd(), POLLIN, 0};
            int timeout_ms = 1000;
            if (const auto at = fabric->next_deadline())
                timeout_ms = std::max(0, static_cast<int>((*at - monotonic_now()) / 1ms) + 1);
            ++sleeps;
            if (::poll(&wait, 1, timeout_ms) > 0) ++wakes;
            fabric->disarm_wakeup();
        }
        return true;
    }
};

Result<Loop> open_node(int self, const std::string& socket, Duration peer_timeout = 15s) {
    VSMP_TRY_ASSIGN(std::shared_ptr<Eal> eal, Eal::start({}));
    VhostUserOptions port;
    port.socket = socket;
    port.role = self == 0 ? VhostRole::server : VhostRole::client;
    std::vector<std::unique_ptr<Port>> ports;
    VSMP_TRY_ASSIGN(std::unique_ptr<Port> opened, open_port(eal, port));
    ports.push_back(std::move(opened));
    FabricOptions options;
    options.self = NodeId{static_cast<std::uint8_t>(self)};
    options.node_count = 2;
    options.guest = 1;
    options.incarnation = random_incarnation();
    options.timing.peer_timeout = peer_timeout;
    VSMP_TRY_ASSIGN(std::unique_ptr<Fabric> fabric, make_fabric(options, std::move(ports)));
    return Loop{std::move(fabric)};
}

// Node 0 sends, node 1 sends each message back; then both wait until all is acknowledged.
int play(int self, const std::string& socket) {
    auto loop = open_node(self, socket);
    if (!loop) {
        std::cerr << "node " << self << ": " << loop.error().message << "\n";
        return 1;
    }
    const NodeId peer{static_cast<std::uint8_t>(1 - self)};
    int received = 0, wrong = 0;
    const auto size_of = [](int i) { return static_cast<std::size_t>(i * 97) % (kMaxPayload + 1); };
    const auto send = [&](int i) {
        const std::vector<std::byte> bytes(size_of(i), static_cast<std::byte>(i));
        loop->fabric->send(peer, Channel::test, bytes);
    };
    const auto deliver = [&](NodeId, Channel, ByteView payload) {
        const std::vector<std::byte> expected(size_of(received), static_cast<std::byte>(received));
        if (!std::ranges::equal(payload, expected)) ++wrong;
        if (self == 1) send(received);
        ++received;
        // Half of the time one message at a time, so that both sides sleep; then in a burst.
        if (self == 0 && received < kMessages / 2) send(received);
        if (self == 0 && received == kMessages / 2)
            for (int i = received; i < kMessages; ++i) send(i);
    };
    if (self == 0) send(0);
    const bool done =
        loop->run(deliver, [&] { return received == kMessages && !loop->fabric->next_deadline(); });
    const PeerCounters counters = loop->fabric->counters(peer);
    std::cerr << "node " << self << ": " << received << " received, " << wrong << " wrong, "
              << counters.frames_sent << " frames sent, " << counters.retransmissions
              << " again, slept " << loop->sleeps << ", woken " << loop->wakes << "\n";
    if (!done) return 2;
    // An interrupt that is not drained would make every sleep a wake: a busy loop.
    if (loop->wakes > 4 * static_cast<std::size_t>(kMessages)) return 3;
    return wrong == 0 ? 0 : 4;
}

template <class Body>
pid_t in_child(Body body) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(body());
    return pid;
}

int exit_code(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class VhostUser : public testing::Test {
  protected:
    std::string socket() const { return folder_.path() + "/link"; }
    test::OwnFolder folder_;
};

TEST_F(VhostUser, MessagesGoBothWaysAndSleepersAreWoken) {
    const pid_t server = in_child([&] { return play(0, socket()); });
    const pid_t client = in_child([&] { return play(1, socket()); });
    EXPECT_EQ(exit_code(server), 0);
    EXPECT_EQ(exit_code(client), 0);
}

// Both ways round: the survivor must neither die nor hang, and say what happened.
int survive(int self, const std::string& socket, int ready) {
    auto loop = open_node(self, socket, 1s);
    if (!loop) return 1;
    const NodeId peer{static_cast<std::uint8_t>(1 - self)};
    const std::vector<std::byte> page(kPageSize);
    bool told = false;
    const auto answer = [&](NodeId from, Channel channel, ByteView payload) {
        loop->fabric->send(from, channel, payload);
        if (!told) told = ::write(ready, "x", 1) == 1;
    };
    for (int i = 0; i < 8; ++i) loop->fabric->send(peer, Channel::test, page);
    const bool ended =
        loop->run(answer, [&] { return loop->fabric->peer_state(peer) == PeerState::lost; });
    const std::string problem = loop->fabric->peer_problem(peer);
    std::cerr << "survivor: " << problem << "\n";
    if (!ended) return 2;
    return problem == "node " + std::to_string(peer.value()) + " has been silent for 1 s" ? 0 : 3;
}

TEST_F(VhostUser, SurvivorOfAKilledPeerSaysSo) {
    for (int victim : {0, 1}) {
        int ready[2];
        ASSERT_EQ(::pipe(ready), 0);
        const auto link = socket() + std::to_string(victim);
        pid_t nodes[2];
        for (int self : {0, 1})
            nodes[self] = in_child([&] { return survive(self, link, ready[1]); });
        ::close(ready[1]);  // so that a node that fails ends the wait
        char said[2];
        for (int i = 0; i < 2; ++i) ASSERT_EQ(::read(ready[0], said, 1), 1);
        ::kill(nodes[victim], SIGKILL);
        EXPECT_EQ(exit_code(nodes[victim]), 128 + SIGKILL);
        EXPECT_EQ(exit_code(nodes[1 - victim]), 0);
        ::close(ready[0]);
    }
}

TEST_F(VhostUser, ServerTakesADeadSocketsPlaceAndNoOther) {
    const auto opening = [&] {
        auto eal = Eal::start({});
        VhostUserOptions port;
        port.socket = socket();
        port.connect_timeout = 1ms;
        const auto opened = open_port(*eal, port);
        std::cerr << opened.error().message << "\n";
        return opened.error().message.starts_with("nobody connected") ? 0 : 1;
    };
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket().c_str());
    UniqueFd served{::socket(AF_UNIX, SOCK_STREAM, 0)};
    ASSERT_EQ(::bind(served.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(served.get(), 1), 0);
    EXPECT_EQ(look_at_socket_file(socket()), SocketFile::served);
    EXPECT_EQ(exit_code(in_child(opening)), 1);
    pollfd connection{served.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&connection, 1, 0), 0) << "somebody else's server was disturbed";
    served = UniqueFd{};
    EXPECT_EQ(look_at_socket_file(socket()), SocketFile::dead);
    EXPECT_EQ(exit_code(in_child(opening)), 0);
    std::ofstream{socket() + "2"} << "precious";
    EXPECT_EQ(look_at_socket_file(socket() + "2"), SocketFile::other);
    EXPECT_FALSE(clear_socket_file(socket() + "2"));
    EXPECT_EQ(look_at_socket_file(socket() + "3"), SocketFile::absent);
}

TEST_F(VhostUser, ServerWithoutClientGivesUp) {
    const auto body = [&] {
        auto eal = Eal::start({});
        VhostUserOptions port;
        port.socket = socket();
        port.connect_timeout = 300ms;
        auto opened = open_port(*eal, port);
        if (opened) return 1;
        std::cerr << opened.error().message << "\n";
        return opened.error().message == "nobody connected to " + socket() + " in time" ? 0 : 2;
    };
    EXPECT_EQ(exit_code(in_child(body)), 0);
}

// DPDK's interrupt thread hears of a peer's going while this end is closed as well.
int close_together(int self, const std::string& socket, const UniqueFd& other) {
    constexpr int kRounds = 20;
    const auto eal = Eal::start({});
    if (!eal) return 1;
    for (int round = 0; round < kRounds; ++round) {
        VhostUserOptions options;
        options.socket = socket + std::to_string(round);
        options.role = self == 0 ? VhostRole::server : VhostRole::client;
        // One that finds no server would look again only after a second.
        const Instant give_up = monotonic_now() + 30s;
        while (self == 1 && look_at_socket_file(options.socket) != SocketFile::served) {
            if (monotonic_now() > give_up) return 4;
            ::usleep(500);
        }
        const auto port = open_port(*eal, options);
        if (!port) {
            std::cerr << "node " << self << ": " << port.error().message << "\n";
            return 2;
        }
        char byte = 0;
        if (::write(other.get(), &byte, 1) != 1 || ::read(other.get(), &byte, 1) != 1) return 3;
    }
    return 0;
}

TEST_F(VhostUser, BothEndsCloseAtOnce) {
    int sockets[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    UniqueFd ends[] = {UniqueFd{sockets[0]}, UniqueFd{sockets[1]}};
    pid_t nodes[2];
    for (int self : {0, 1})
        nodes[self] = in_child([&, self] {
            ends[1 - self] = UniqueFd{};  // so that the other's death is heard
            return close_together(self, socket(), ends[self]);
        });
    for (UniqueFd& end : ends) end = UniqueFd{};
    EXPECT_EQ(exit_code(nodes[0]), 0);
    EXPECT_EQ(exit_code(nodes[1]), 0);
}

TEST_F(VhostUser, FolderMustExist) {
    const auto body = [&] {
        auto eal = Eal::start({});
        auto opened =
            open_port(*eal, VhostUserOptions{folder_.path() + "/none/link", VhostRole::client});
        if (opened) return 1;
        return opened.error().message ==
                       "folder " + folder_.path() + "/none of the socket does not exist"
                   ? 0
                   : 2;
    };
    EXPECT_EQ(exit_code(in_child(body)), 0);
}

}  // namespace
}  // namespace vsmp::fabric
