#include "vmm/node/policy_message.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace vsmp {
namespace {

constexpr std::size_t kVcpus = 4;

std::vector<std::byte> encoded(const PolicyMessage& message) {
    std::vector<std::byte> bytes(kMaxPolicyMessage);
    ByteWriter writer{bytes};
    encode(message, writer);
    bytes.resize(writer.size());
    return bytes;
}

TEST(PolicyMessage, LoadRoundTrip) {
    const LoadReport report{.cpu_set = 0x0102030405060708, .cpus = 64, .runnable_permille = 2500};
    const std::vector<std::byte> bytes = encoded(report);
    const auto decoded = decode_policy_message(bytes, kVcpus);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<LoadReport>(*decoded), report);
}

TEST(PolicyMessage, RefusesLoadsOfEveryOtherLengthAndWithoutCpus) {
    std::vector<std::byte> bytes = encoded(LoadReport{.cpu_set = 1, .cpus = 1});
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(decode_policy_message(ByteView{bytes}.first(size), kVcpus)) << size;
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_policy_message(bytes, kVcpus));
    EXPECT_FALSE(decode_policy_message(encoded(LoadReport{.cpu_set = 1, .cpus = 0}), kVcpus));
}

TEST(PolicyMessage, LuggageRoundTrip) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, locality::kMaxLuggage}) {
        const std::vector<std::byte> things(size, std::byte{0x5a});
        const std::vector<std::byte> bytes = encoded(Luggage{VcpuId{3}, things});
        const auto decoded = decode_policy_message(bytes, kVcpus);
        ASSERT_TRUE(decoded) << size;
        const auto& luggage = std::get<Luggage>(*decoded);
        EXPECT_EQ(luggage.vcpu, VcpuId{3});
        EXPECT_TRUE(std::ranges::equal(luggage.bytes, things)) << size;
    }
}

TEST(PolicyMessage, RefusesTooMuchLuggageAndVcpusThatTheGuestHasNot) {
    std::vector<std::byte> bytes =
        encoded(Luggage{VcpuId{3}, std::vector<std::byte>(locality::kMaxLuggage)});
    EXPECT_FALSE(decode_policy_message(bytes, 3));
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_policy_message(bytes, kVcpus));
}

TEST(PolicyMessage, RefusesUnknownKinds) {
    std::vector<std::byte> bytes = encoded(LoadReport{.cpu_set = 1, .cpus = 1});
    for (const unsigned kind : {0u, 3u, 255u}) {
        bytes[0] = static_cast<std::byte>(kind);
        EXPECT_FALSE(decode_policy_message(bytes, kVcpus)) << kind;
    }
}

}  // namespace
}  // namespace vsmp
