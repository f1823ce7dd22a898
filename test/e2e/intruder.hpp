// Somebody else on the link of a running guest.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <optional>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "proto/fd.hpp"

namespace vsmp::e2e {

using Frame = std::vector<std::uint8_t>;

// The calling thread, and what it starts, is in a node's network namespace for a while.
class InNamespaceOf {
  public:
    explicit InNamespaceOf(int node_process)
        : own_(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
        const UniqueFd theirs{
            ::open(fmt::format("/proc/{}/ns/net", node_process).c_str(), O_RDONLY | O_CLOEXEC)};
        EXPECT_EQ(::setns(theirs.get(), CLONE_NEWNET), 0);
    }
    ~InNamespaceOf() { EXPECT_EQ(::setns(own_.get(), CLONE_NEWNET), 0); }
    InNamespaceOf(const InNamespaceOf&) = delete;

  private:
    UniqueFd own_;
};

// A raw socket on one interface of the nodes' network namespace. What it sends goes to the other
// node, just as what this interface's node sends.
class Intruder {
  public:
    Intruder(int node_process, const char* interface) {
        const InNamespaceOf node{node_process};
        socket_ = UniqueFd{
            ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(kAllProtocols))};
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(kAllProtocols);
        address.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
        EXPECT_EQ(
            ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }

    // The next frame that came from the other end: that node's, or another intruder's. (What this
    // end's node sends is not shown: DPDK's af_packet goes around the place that shows it.)
    std::optional<Frame> capture() {
        Frame frame(16384);
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        for (;;) {
            const ssize_t got = ::recvfrom(socket_.get(), frame.data(), frame.size(), 0,
                                           reinterpret_cast<sockaddr*>(&from), &size);
            if (got < 0) return std::nullopt;
            if (from.sll_pkttype == PACKET_OUTGOING) continue;
            if (static_cast<std::size_t>(got) < fabric::kHeaderSize) continue;
            frame.resize(static_cast<std::size_t>(got));
            return frame;
        }
    }
    void send(const Frame& frame) {
        [[maybe_unused]] const auto sent = ::send(socket_.get(), frame.data(), frame.size(), 0);
    }
    // As fast as the interface takes them; how many it took.
    std::size_t send_all(std::vector<Frame>& frames) {
        std::vector<iovec> parts;
        for (Frame& frame : frames) parts.push_back({frame.data(), frame.size()});
        std::vector<mmsghdr> messages(frames.size());
        for (std::size_t i = 0; i < frames.size(); ++i) {
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        const int sent =
            ::sendmmsg(socket_.get(), messages.data(), static_cast<unsigned>(messages.size()), 0);
        return sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }

  private:
    static constexpr std::uint16_t kAllProtocols = 3;  // linux/if_ether.h
    UniqueFd socket_;
};

}  // namespace vsmp::e2e
