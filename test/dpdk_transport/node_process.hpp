// A node as a process of its own (DPDK starts once in a process) that polls its fabric and sleeps
// when nothing comes. For tests of ports.
#pragma once

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>

#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/open_port.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {

struct TestNode {
    std::shared_ptr<Eal> eal;
    std::unique_ptr<Fabric> fabric;

    static Result<TestNode> open(int self, const std::vector<PortOptions>& links,
                                 FabricOptions options) {
        TestNode node;
        VSMP_TRY_ASSIGN(node.eal, Eal::start({}));
        std::vector<std::unique_ptr<Port>> ports;
        for (const PortOptions& link : links) {
            VSMP_TRY_ASSIGN(std::unique_ptr<Port> opened, open_port(node.eal, link));
            ports.push_back(std::move(opened));
        }
        options.self = NodeId{static_cast<std::uint8_t>(self)};
        options.node_count = 2;
        options.guest = 1;
        options.incarnation = random_incarnation();
        VSMP_TRY_ASSIGN(node.fabric, make_fabric(options, std::move(ports)));
        return node;
    }

    // One poll, and a sleep of at most `longest` when there was nothing.
    void turn(const Fabric::Deliver& deliver, Duration longest = std::chrono::milliseconds(20)) {
        if (fabric->poll(monotonic_now(), deliver)) return;
        Duration left = longest;
        if (const auto at = fabric->next_deadline()) left = std::min(left, *at - monotonic_now());
        if (left > Duration::zero() && fabric->arm_wakeup()) {
            pollfd wait{fabric->wakeup_fd(), POLLIN, 0};
            const timespec timeout{0, left.count()};
            ::ppoll(&wait, 1, &timeout, nullptr);
        }
        fabric->disarm_wakeup();
    }
};

// A child that does not outlive the test.
template <class Body>
pid_t in_child(Body body) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(body());
}

inline int exit_code(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace vsmp::fabric
