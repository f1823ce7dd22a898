// What a tapped port writes is read by tshark with our dissector.
#include <gtest/gtest.h>

#include <cstdio>

#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/memory_port.hpp"
#include "dpdk_transport/ports/tap_port.hpp"
#include "page_fault_broker/core/message.hpp"
#include "test/own_folder.hpp"
#include "test/skip.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

std::string output_of(const std::string& command) {
    std::string text;
    std::FILE* pipe = ::popen(command.c_str(), "r");
    char line[4096];
    while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr) text += line;
    if (pipe != nullptr) ::pclose(pipe);
    return text;
}

class Capture : public testing::Test {
  protected:
    std::string path() const { return folder_.path() + "/node-0.pcapng"; }

    // Two nodes; the frames of the first are written down. It asks for a page, of which `body` is
    // the contents.
    void talk() {
        auto ports = make_memory_segment(2);
        auto file = PcapngFile::create(path(), "memory port 0");
        ASSERT_TRUE(file) << file.error().message;
        ports[0] = tap_port(std::move(ports[0]), *std::move(file));
        std::vector<std::unique_ptr<Fabric>> nodes;
        for (std::uint8_t i = 0; i < 2; ++i) {
            std::vector<std::unique_ptr<Port>> one;
            one.push_back(std::move(ports[i]));
            nodes.push_back(*make_fabric({.self = NodeId{i},
                                          .node_count = 2,
                                          .guest = 0x1234,
                                          .incarnation = i + 1u,
                                          .timing = {}},
                                         std::move(one)));
        }
        std::array<std::byte, 64> buffer;
        ByteWriter message{buffer};
        coherence::encode({.kind = coherence::MessageKind::read_request,
                           .page = PageNumber{4711},
                           .requester = NodeId{0}},
                          message);
        nodes[0]->send(NodeId{1}, Channel::coherence, message.written());
        nodes[0]->send(NodeId{1}, Channel::test, Bytes(kMaxPayload));
        std::size_t received = 0;
        Instant now{1s};
        for (int step = 0; step < 200; ++step, now += 1ms)
            for (auto& node : nodes)
                node->poll(now, [&](NodeId, Channel, ByteView) { ++received; });
        EXPECT_EQ(received, 2u);
    }

    using Bytes = std::vector<std::byte>;
    test::OwnFolder folder_;
};

TEST_F(Capture, FileThatCannotBeMadeIsNamed) {
    auto file = PcapngFile::create(folder_.path() + "/none/x", "port");
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().message.find(folder_.path() + "/none/x"), std::string::npos);
}

TEST_F(Capture, TsharkReadsItWithOurDissector) {
    if (output_of("tshark --version 2>/dev/null").empty()) VSMP_SKIP() << "no tshark";
    talk();
    const std::string tshark =
        "tshark -X lua_script:" VSMP_SOURCE_DIR "/tools/wireshark/vsmp.lua -r " + path();
    const std::string all = output_of(tshark + " 2>&1");
    for (const char* part : {"0 -> 1 hello", "1 -> 0 welcome", "coherence: read_request page 4711",
                             "1 -> 0 ack", "test: segment"})
        EXPECT_NE(all.find(part), std::string::npos) << part << " is not in\n" << all;
    EXPECT_EQ(all.find("alformed"), std::string::npos) << all;
    EXPECT_EQ(all.find("Lua"), std::string::npos) << all;
    const std::string fields =
        output_of(tshark +
                  " -Y 'vsmp.channel == 1' -T fields -e vsmp.guest -e vsmp.coherence.page "
                  "-e frame.interface_name 2>/dev/null");
    EXPECT_EQ(fields, "0x0000000000001234\t4711\tmemory port 0\n");
}

}  // namespace
}  // namespace vsmp::fabric
