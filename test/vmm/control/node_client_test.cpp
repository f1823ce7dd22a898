// The node's side, played against by hand: order of messages, and how it ends.
#include "vmm/control/node_client.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>

#include "fake_node.hpp"
#include "proto/control.pb.h"
#include "vmm/control/convert.hpp"

namespace vsmp::control {
namespace {

// Sends `script` step by step, the next message after each answer, then closes or waits.
class NodeClientTest : public testing::Test {
  protected:
    NodeExit play(std::vector<wire::ToNode> script, std::size_t answers_before_close) {
        int fds[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        const asio::generic::stream_protocol unix_stream{AF_UNIX, 0};
        std::shared_ptr<MessageStream> ours;
        ours = MessageStream::open(StreamSocket{io_, unix_stream, fds[0]},
                                   {.on_message = [&](std::string_view bytes) -> Result<void> {
                                        wire::FromNode message;
                                        message.ParseFromArray(bytes.data(),
                                                               static_cast<int>(bytes.size()));
                                        received.push_back(message);
                                        if (message.has_guest_ended() || message.has_failed()) {
                                            wire::ToNode stop;
                                            stop.mutable_stop();
                                            return ours->send(stop);
                                        }
                                        if (received.size() == answers_before_close)
                                            return Error{"enough"};
                                        return {};
                                    },
                                    .on_closed = [](const Error&) {}});
        for (const wire::ToNode& message : script) EXPECT_TRUE(ours->send(message));
        const NodeServices services{
            .facts = [] { return Result{fake_facts()}; },
            .create =
                [](NodeSetup setup, NodeObserver& observer) {
                    return Result<std::unique_ptr<Node>>{std::unique_ptr<Node>{
                        std::make_unique<FakeNode>(std::move(setup), observer, "")}};
                }};
        const NodeExit exit = serve_node(StreamSocket{io_, unix_stream, fds[1]}, io_, services);
        io_.restart();
        io_.run();  // what it said last
        ours->close();
        return exit;
    }

    static wire::ToNode hello(std::uint32_t version = kProtocolVersion) {
        wire::ToNode message;
        message.mutable_hello()->set_protocol_version(version);
        return message;
    }
    static wire::ToNode prepare(std::size_t kernel_bytes) {
        GuestConfig guest;
        guest.vcpu_count = 1;
        guest.nodes = {{.id = NodeId{0},
                        .host = "local",
                        .memory_bytes = 1 << 20,
                        .vcpus = {},
                        .links = {AutoLink{}}}};
        guest.distances = {{10}};
        NodeSetup setup;
        setup.guest = guest;
        setup.kernel.resize(kernel_bytes);
        wire::ToNode message;
        to_wire(setup, *message.mutable_prepare());
        return message;
    }
    static wire::ToNode chunk(std::size_t size) {
        wire::ToNode message;
        message.mutable_file_chunk()->set_data(std::string(size, 'k'));
        return message;
    }
    template <class Set>
    static wire::ToNode message(Set set) {
        wire::ToNode m;
        set(m);
        return m;
    }

    asio::io_context io_;
    std::vector<wire::FromNode> received;
};

TEST_F(NodeClientTest, WholeLifeOfANode) {
    const auto exit =
        play({hello(), prepare(10), chunk(4), chunk(6), message([](auto& m) { m.mutable_start(); }),
              message([](auto& m) { m.mutable_console()->set_data("hi\n"); }),
              message([](auto& m) { m.mutable_ship()->set_vcpu(9); }),
              message([](auto& m) { m.mutable_console()->set_data("off\n"); })},
             99);
    EXPECT_EQ(exit, NodeExit::stopped);
    std::string console;
    std::vector<wire::FromNode::KindCase> kinds;
    for (const wire::FromNode& each : received) {
        console += each.console().data();
        if (!each.has_console()) kinds.push_back(each.kind_case());
    }
    using Kind = wire::FromNode;
    EXPECT_EQ(kinds, (std::vector{Kind::kHello, Kind::kFacts, Kind::kLinksUp, Kind::kShip,
                                  Kind::kGuestEnded}));
    // The end is told after all that the guest said.
    EXPECT_TRUE(received.back().has_guest_ended());
    EXPECT_EQ(console, "kernel 10 initrd 0\r\nready\r\ntyped hi\r\ntyped off\r\n");
}

TEST_F(NodeClientTest, OutOfOrderIsAFailureThatIsTold) {
    for (const auto& script : std::vector<std::vector<wire::ToNode>>{
             {prepare(0)},
             {hello(), hello()},
             {hello(), chunk(1)},
             {hello(), message([](auto& m) { m.mutable_start(); })},
             {hello(), prepare(4), chunk(5)},
             {hello(), prepare(4), chunk(0)},
             {hello(), wire::ToNode{}},
             {hello(99)}}) {
        received.clear();
        io_.restart();
        EXPECT_EQ(play(script, 99), NodeExit::failed);
        ASSERT_FALSE(received.empty());
        EXPECT_EQ(received.back().kind_case(), wire::FromNode::kFailed);
    }
}

TEST_F(NodeClientTest, StopAndLossOfTheConnectionEndIt) {
    EXPECT_EQ(play({hello(), message([](auto& m) { m.mutable_stop(); })}, 99), NodeExit::stopped);
    io_.restart();
    received.clear();
    EXPECT_EQ(play({hello()}, 2), NodeExit::orphaned);  // we close after hello and facts
}

}  // namespace
}  // namespace vsmp::control
