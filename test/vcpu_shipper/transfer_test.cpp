#include "vcpu_shipper/io/vcpu_transfer.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "proto/monotonic_clock.hpp"
#include "test/skip.hpp"
#include "test/vcpu_shipper/example_states.hpp"
#include "test/vcpu_shipper/moving_guest.hpp"
#include "vcpu_shipper/core/message.hpp"
#include "vcpu_shipper/io/msr_plan.hpp"

namespace vsmp::shipper {
namespace {

struct Distribution {
    std::vector<double> values;
    double quantile(double q) {
        std::ranges::sort(values);
        return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
    }
};

template <class Work>
auto timed(Distribution& us, Work work) {
    const Instant begin = monotonic_now();
    auto result = work();
    us.values.push_back(std::chrono::duration<double, std::micro>(monotonic_now() - begin).count());
    return result;
}

void print(const char* name, Distribution& us, double unit_us) {
    std::printf("%-16s median %7.1f us, p99 %7.1f us, %5.1f x KVM_GET_REGS\n", name,
                us.quantile(0.5), us.quantile(0.99), us.quantile(0.5) / unit_us);
}

TEST(VcpuTransfer, AThousandMovesWithLiveVectorsAndInterrupts) {
    VSMP_NEEDS_KVM();
    MovingGuest guest;
    constexpr unsigned kMoves = 1000;
    Distribution floor, capture, codec, restore, frame;
    std::size_t here = 0;
    std::uint64_t injected = 0;
    ASSERT_TRUE(guest.transfer(0).restore(guest.vcpu(0), guest.start()));
    for (unsigned move = 0; move < kMoves; ++move) {
        guest.compute(here);
        ASSERT_FALSE(testing::Test::HasFailure()) << "move " << move;
        const auto try_interrupt = [&] {
            if (!guest.vcpu(here).ready_for_interrupt()) return;
            ASSERT_TRUE(guest.vcpu(here).interrupt(MovingGuest::kVector));
            ++injected;
        };
        // In flight while it moves: given to KVM here, taken by the guest over there.
        if (move % 4 == 1) try_interrupt();

        (void)timed(floor, [&] { return guest.vcpu(here).regs(); });
        const Result<VcpuState> state =
            timed(capture, [&] { return guest.transfer(here).capture(guest.vcpu(here)); });
        ASSERT_TRUE(state) << state.error().message;
        guest.expect_right(*state);
        const Result<VcpuState> arrived = timed(codec, [&] {
            const auto bytes = encoded(*state);
            frame.values.push_back(
                static_cast<double>(14 + 48 + kMessageHeaderSize + bytes.size()));
            return decode(bytes);
        });
        ASSERT_TRUE(arrived) << arrived.error().message;
        ASSERT_EQ(*arrived, *state);
        here ^= 1;
        const Result<void> loaded = timed(
            restore, [&] { return guest.transfer(here).restore(guest.vcpu(here), *arrived); });
        ASSERT_TRUE(loaded) << loaded.error().message;
        if (move % 4 == 3) try_interrupt();
        ASSERT_FALSE(testing::Test::HasFailure()) << "move " << move;
    }
    guest.compute(here);
    guest.compute(here);
    const Result<VcpuState> last = guest.transfer(here).capture(guest.vcpu(here));
    ASSERT_TRUE(last);
    guest.expect_right(*last);
    EXPECT_GE(injected, kMoves / 4);
    EXPECT_EQ(guest.interrupts_seen(), injected);
    EXPECT_LE(frame.quantile(1), 8978);

    const double unit_us = floor.quantile(0.5);
    std::printf(
        "%u moves, %zu-bit vectors, %zu MSRs read, %zu sent, %llu interrupts, "
        "%llu additions; frame median %.0f, largest %.0f bytes\n",
        kMoves, guest.vector_bits(), guest.plan().msrs.size(), last->msrs.size(),
        static_cast<unsigned long long>(injected),
        static_cast<unsigned long long>(last->general.gpr[0]), frame.quantile(0.5),
        frame.quantile(1));
    print("KVM_GET_REGS", floor, unit_us);
    print("capture", capture, unit_us);
    print("encode, decode", codec, unit_us);
    print("restore", restore, unit_us);
}

// What was live on a node is gone when the vCPU comes back without it.
TEST(VcpuTransfer, NothingOfTheLastStayIsLeft) {
    VSMP_NEEDS_KVM();
    MovingGuest guest;
    const Result<VcpuState> fresh = guest.transfer(1).capture(guest.vcpu(1));
    ASSERT_TRUE(fresh);
    EXPECT_LT(encoded(*fresh).size(), 600u);
    VcpuState live = guest.start();
    live.events.interrupt_injected = true;
    live.events.interrupt_vector = MovingGuest::kVector;
    live.interrupt_bitmap[MovingGuest::kVector / 64] |= 1ull << (MovingGuest::kVector % 64);
    live.system.cr8 = 5;
    ASSERT_TRUE(guest.transfer(1).restore(guest.vcpu(1), live));
    const Result<VcpuState> loaded = guest.transfer(1).capture(guest.vcpu(1));
    ASSERT_TRUE(loaded);
    EXPECT_EQ(*loaded, live);
    ASSERT_TRUE(guest.transfer(1).restore(guest.vcpu(1), *fresh));
    const Result<VcpuState> again = guest.transfer(1).capture(guest.vcpu(1));
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *fresh);
}

TEST(VcpuTransfer, AnotherHostsStateIsRefused) {
    VSMP_NEEDS_KVM();
    MovingGuest guest;
    VcpuState state = guest.start();
    state.msrs.push_back({0xfffffff0, 1});
    EXPECT_FALSE(guest.transfer(1).restore(guest.vcpu(1), state));
    state = guest.start();
    state.xsave.components.push_back({9, 3000, std::vector<std::byte>(8, std::byte{1})});
    std::erase_if(state.xsave.components,
                  [](const XsaveComponent& c) { return c.index == 9 && c.offset != 3000; });
    EXPECT_FALSE(guest.transfer(1).restore(guest.vcpu(1), state));
    // A refused state leaves a vCPU that takes the next one.
    EXPECT_TRUE(guest.transfer(1).restore(guest.vcpu(1), guest.start()));
}

TEST(VcpuTransfer, TscAdjustShiftsTheTimeStampByItsChangeOnly) {
    VSMP_NEEDS_KVM();
    MovingGuest guest;
    kvm::Vcpu& vcpu = guest.vcpu(0);
    const Result<std::uint64_t> offset = vcpu.tsc_offset();
    constexpr std::uint64_t kShift = std::uint64_t{1} << 40;
    if (!offset || !vcpu.set_tsc_offset(*offset - kShift) || !vcpu.set_tsc_offset(*offset))
        VSMP_SKIP() << "this KVM cannot offset the guest's TSC";
    VcpuState state = guest.start();
    ASSERT_TRUE(guest.transfer(0).restore(vcpu, state));
    EXPECT_EQ(*vcpu.tsc_offset(), *offset);
    state.msrs.insert(state.msrs.begin(), {kMsrTscAdjust, kShift});
    ASSERT_TRUE(std::ranges::is_sorted(state.msrs, {}, &Msr::index));
    ASSERT_TRUE(guest.transfer(0).restore(vcpu, state));
    EXPECT_EQ(*vcpu.tsc_offset(), *offset + kShift);
    // It goes elsewhere and comes back with the same value.
    const Result<VcpuState> left = guest.transfer(0).capture(vcpu);
    ASSERT_TRUE(left);
    EXPECT_EQ(left->msrs, state.msrs);
    ASSERT_TRUE(guest.transfer(0).restore(vcpu, *left));
    EXPECT_EQ(*vcpu.tsc_offset(), *offset + kShift);
    ASSERT_TRUE(guest.transfer(0).restore(vcpu, guest.start()));
    EXPECT_EQ(*vcpu.tsc_offset(), *offset);
}

}  // namespace
}  // namespace vsmp::shipper
