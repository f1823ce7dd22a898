#include "locality_ml/learned/vcpu_memory.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace vsmp::locality {
namespace {

VcpuMemory some_memory() {
    VcpuMemory memory;
    memory.situations.make({77}).add_stall(0.25F, 1);
    memory.situations.node(NodeId{1}).add_stay(300);
    memory.pending.key = {77};
    memory.pending.reason = ShipReason::gather;
    memory.pending.x[3] = 0.5F;
    memory.ship_credit = 3;
    memory.situations.node(NodeId{2}).failures = 2;
    memory.pending.aim = Aim::trial;
    memory.ships = 9;
    memory.go.learn(Features::Ones(), 0.5F);
    return memory;
}

std::vector<std::byte> encoded(const VcpuMemory& memory) {
    std::vector<std::byte> bytes(kMaxLuggage);
    ByteWriter writer{bytes};
    encode(memory, writer);
    bytes.resize(writer.size());
    return bytes;
}

TEST(VcpuMemory, ComesBackAsItWent) {
    const auto bytes = encoded(some_memory());
    VcpuMemory back;
    ASSERT_TRUE(decode(bytes, back));
    EXPECT_EQ(encoded(back), bytes);
    EXPECT_EQ(back.pending.reason, ShipReason::gather);
    EXPECT_EQ(back.situations.find({77})->stall, 0.25F);
}

TEST(VcpuMemory, AnyLengthButTheRightOneIsNonsense) {
    auto bytes = encoded(some_memory());
    VcpuMemory back;
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(decode(ByteView{bytes}.first(size), back));
    bytes.push_back({});
    EXPECT_FALSE(decode(bytes, back));
    EXPECT_EQ(back.ships, 0u);
}

TEST(VcpuMemory, NoByteMakesItCrashAndNoNumberIsInfinite) {
    const auto good = encoded(some_memory());
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (const unsigned value : {0x00U, 0x7fU, 0x80U, 0xffU}) {
            auto bytes = good;
            bytes[i] = static_cast<std::byte>(value);
            VcpuMemory back;
            if (!decode(bytes, back)) continue;
            EXPECT_TRUE(back.go.weights().allFinite());
        }
    }
    VcpuMemory broken = some_memory();
    broken.ship_credit = std::numeric_limits<float>::infinity();
    VcpuMemory back;
    EXPECT_FALSE(decode(encoded(broken), back));
}

TEST(LinearModel, FindsALine) {
    LinearModel model;
    std::uint32_t random = 1;
    const auto next = [&] {
        random = random * 1664525 + 1013904223;
        return static_cast<float>(random >> 8) / static_cast<float>(1 << 24);
    };
    for (int i = 0; i < 500; ++i) {
        Features x = Features::Zero();
        x[0] = 1;
        x[1] = next();
        x[2] = next();
        model.learn(x, 0.1F + 0.5F * x[1] - 0.3F * x[2]);
    }
    Features x = Features::Zero();
    x[0] = 1;
    x[1] = x[2] = 0.5F;
    EXPECT_NEAR(model.predict(x), 0.2F, 0.02F);
}

TEST(LinearModel, SaysNothingWhereItIsNoBetterThanNothing) {
    LinearModel model;
    std::uint32_t random = 1;
    Features x = Features::Zero();
    for (int i = 0; i < 500; ++i) {
        random = random * 1664525 + 1013904223;
        x[0] = 1;
        model.learn(x, (random >> 31) != 0 ? 1.0F : -1.0F);
    }
    EXPECT_EQ(model.predict(x), 0);
}

}  // namespace
}  // namespace vsmp::locality
