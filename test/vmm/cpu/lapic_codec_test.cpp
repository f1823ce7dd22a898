#include <gtest/gtest.h>

#include <random>

#include "vmm/cpu/runner_state.hpp"

namespace vsmp::cpu {
namespace {

LocalApic busy_apic() {
    LocalApic apic(VcpuId(0x25), ApicRole::application);
    const GuestTsc now(1000);
    apic.write_register(0xd0, 0x20000000, now);
    apic.set_base(0xfee00c00);
    apic.write_msr(0x80f, 0x1ff, now);
    apic.write_msr(0x808, 0x35, now);
    apic.write_msr(0x832, 0x40040, now);
    apic.write_msr(0x837, 0xfe, now);
    apic.write_msr(0x6e0, 123456789, now);
    apic.write_msr(0x830, 0x00020003'00004840, now);
    apic.accept(0x51, Trigger::level);
    apic.accept(0x61, Trigger::edge);
    apic.begin_service(0x61);
    apic.accept(3, Trigger::edge);
    return apic;
}

TEST(RunnerStateCodec, KeepsEverything) {
    for (const Activity activity : {Activity::wait_for_sipi, Activity::running, Activity::halted}) {
        const RunnerState state{activity, busy_apic()};
        const auto decoded = decode_runner_state(encode_runner_state(state));
        ASSERT_TRUE(decoded) << decoded.error().message;
        EXPECT_EQ(decoded->activity, activity);
        EXPECT_EQ(decoded->apic, state.apic);
    }
}

TEST(RunnerStateCodec, RefusesOtherLengthsAndKinds) {
    const auto good = encode_runner_state({Activity::running, busy_apic()});
    for (std::size_t size = 0; size < good.size(); ++size)
        EXPECT_FALSE(decode_runner_state(ByteView(good).first(size))) << size;
    auto longer = good;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(decode_runner_state(longer));
    auto other_version = good;
    other_version[0] = std::byte{9};
    EXPECT_FALSE(decode_runner_state(other_version));
    for (const Activity nowhere : {Activity::parked, Activity::ended}) {
        auto bad = good;
        bad[1] = static_cast<std::byte>(nowhere);
        EXPECT_FALSE(decode_runner_state(bad));
    }
}

// Whatever is accepted encodes to the same bytes again and can be used without harm.
TEST(RunnerStateCodec, RandomDamageIsRefusedOrHarmless) {
    std::mt19937 random(20240611);
    const auto good = encode_runner_state({Activity::running, busy_apic()});
    int accepted = 0, refused = 0;
    for (int round = 0; round < 20000; ++round) {
        auto bytes = good;
        for (unsigned i = 0; i <= random() % 3; ++i)
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        auto decoded = decode_runner_state(bytes);
        if (!decoded) {
            ++refused;
            continue;
        }
        ++accepted;
        EXPECT_EQ(encode_runner_state(*decoded), bytes);
        decoded->apic.advance(GuestTsc(~std::uint64_t{0}));
        decoded->apic.read_msr(0x839, GuestTsc(0));
        if (const auto vector = decoded->apic.injectable()) decoded->apic.begin_service(*vector);
    }
    EXPECT_GT(accepted, 100);
    EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace vsmp::cpu
