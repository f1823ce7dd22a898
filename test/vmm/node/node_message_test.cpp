#include "vmm/node/node_message.hpp"

#include <gtest/gtest.h>

namespace vsmp {
namespace {

constexpr std::size_t kVcpus = 4;

std::vector<std::byte> encoded(const NodeMessage& message) {
    std::vector<std::byte> bytes(kMaxNodeMessage);
    ByteWriter writer{bytes};
    encode(message, writer);
    bytes.resize(writer.size());
    return bytes;
}

DeviceRequest request() {
    return {.vcpu = VcpuId{3},
            .sequence = 0x01020304,
            .space = AddressSpace::mmio,
            .access = Access::write,
            .size = 4,
            .address = 0xfec00010,
            .data = 0x1122334455667788};
}

std::vector<NodeMessage> one_of_each() {
    return {request(), DeviceReply{.vcpu = VcpuId{1}, .sequence = 7, .data = ~std::uint64_t{0}},
            EndOfInterrupt{.vector = 0x31},
            ApicMoved{.vcpu = VcpuId{2},
                      .address = {.mode = cpu::ApicMode::x2apic, .id = 2, .ldr = 4, .dfr = 5}},
            MicroReport{.vcpu = VcpuId{0}, .port = 0x510, .code = 9, .value = 10}};
}

TEST(NodeMessage, RoundTrip) {
    for (const NodeMessage& message : one_of_each())
        EXPECT_EQ(decode_node_message(encoded(message), kVcpus), message) << message.index();
}

TEST(NodeMessage, RefusesEveryOtherLength) {
    for (const NodeMessage& message : one_of_each()) {
        std::vector<std::byte> bytes = encoded(message);
        for (std::size_t size = 0; size < bytes.size(); ++size)
            EXPECT_FALSE(decode_node_message(ByteView{bytes}.first(size), kVcpus))
                << message.index() << " cut to " << size;
        bytes.push_back(std::byte{0});
        EXPECT_FALSE(decode_node_message(bytes, kVcpus)) << message.index() << " and one more";
    }
}

TEST(NodeMessage, RefusesUnknownKinds) {
    std::vector<std::byte> bytes = encoded(request());
    for (const unsigned kind : {0u, 6u, 255u}) {
        bytes[0] = static_cast<std::byte>(kind);
        EXPECT_FALSE(decode_node_message(bytes, kVcpus)) << kind;
    }
}

TEST(NodeMessage, RefusesVcpusThatTheGuestHasNot) {
    const std::vector<std::byte> bytes = encoded(request());  // of vCPU 3
    EXPECT_TRUE(decode_node_message(bytes, 4));
    EXPECT_FALSE(decode_node_message(bytes, 3));
}

TEST(NodeMessage, RefusesAccessesThatNoInstructionMakes) {
    for (unsigned size = 0; size < 256; ++size) {
        DeviceRequest message = request();
        message.size = static_cast<std::uint8_t>(size);
        const bool good = size == 1 || size == 2 || size == 4 || size == 8;
        EXPECT_EQ(decode_node_message(encoded(message), kVcpus).has_value(), good) << size;
    }
    DeviceRequest message = request();
    message.space = static_cast<AddressSpace>(2);
    EXPECT_FALSE(decode_node_message(encoded(message), kVcpus));
    message = request();
    message.access = static_cast<Access>(2);
    EXPECT_FALSE(decode_node_message(encoded(message), kVcpus));
}

TEST(NodeMessage, RefusesUnknownApicModes) {
    const ApicMoved message{.vcpu = VcpuId{0}, .address = {.mode = static_cast<cpu::ApicMode>(3)}};
    EXPECT_FALSE(decode_node_message(encoded(message), kVcpus));
}

}  // namespace
}  // namespace vsmp
