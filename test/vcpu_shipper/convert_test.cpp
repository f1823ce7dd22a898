// The pure half of vcpu_shipper/io: KVM's structures and XSAVE area.
#include <gtest/gtest.h>

#include "test/vcpu_shipper/example_states.hpp"
#include "vcpu_shipper/io/kvm_structs.hpp"
#include "vcpu_shipper/io/msr_plan.hpp"
#include "vcpu_shipper/io/xsave_area.hpp"

namespace vsmp::shipper {
namespace {

constexpr std::uint32_t kAllFlags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                                    KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT |
                                    KVM_VCPUEVENT_VALID_SMM;

XsaveLayout intel_layout() {
    std::vector<CpuidLeaf> leaves;
    for (const XsaveComponent& c : everything_live_state().xsave.components)
        if (c.index >= 2)
            leaves.push_back({.function = 0xd,
                              .index = c.index,
                              .eax = static_cast<std::uint32_t>(c.bytes.size()),
                              .ebx = c.offset});
    leaves.push_back({.function = 0xd, .index = 18, .eax = 8192, .ebx = 2816});  // AMX
    return XsaveLayout::from_cpuid(leaves);
}

TEST(KvmStructs, RoundTrip) {
    for (const VcpuState& s : {idle_fpu_state(), everything_live_state()}) {
        EXPECT_EQ(from_kvm(to_kvm(s.general)), s.general);
        const kvm_sregs sregs = to_kvm(s.system, s.interrupt_bitmap);
        EXPECT_EQ(from_kvm(sregs), s.system);
        EXPECT_EQ(interrupt_bitmap(sregs), s.interrupt_bitmap);
        EXPECT_EQ(from_kvm(to_kvm(s.debug)), s.debug);
        const auto events = to_kvm(s.events, kAllFlags);
        ASSERT_TRUE(events);
        EXPECT_EQ(from_kvm(*events), s.events);
        EXPECT_EQ(events->flags & KVM_VCPUEVENT_VALID_SMM, 0u);
    }
}

TEST(KvmStructs, EventsThatThisKvmCannotTakeAreRefused) {
    const PendingEvents events = everything_live_state().events;
    EXPECT_FALSE(to_kvm(events, kAllFlags & ~KVM_VCPUEVENT_VALID_PAYLOAD));
    EXPECT_FALSE(to_kvm(events, kAllFlags & ~KVM_VCPUEVENT_VALID_TRIPLE_FAULT));
}

TEST(XsaveArea, RoundTrips) {
    const XsaveLayout layout = intel_layout();
    const XsaveState live = everything_live_state().xsave;
    std::vector<std::byte> area(11008, std::byte{0xff});
    ASSERT_TRUE(expand_xsave(live, layout, area));
    EXPECT_EQ(compact_xsave(area, live.xcr0, layout), live);
}

TEST(XsaveArea, InitStateTakesNoRoom) {
    std::vector<std::byte> area(kMaxXsaveArea);
    area[0] = std::byte{0x7f};
    area[1] = std::byte{0x03};
    area[24] = std::byte{0x80};
    area[25] = std::byte{0x1f};
    area[28] = std::byte{0xff};  // MXCSR_MASK
    area[512] = std::byte{0xff};
    const XsaveState xsave = compact_xsave(area, 7, intel_layout());
    EXPECT_TRUE(xsave.components.empty());
    EXPECT_EQ(xsave.mxcsr, 0x1f80u);
}

TEST(XsaveArea, MxcsrIsLoadedEvenWhenNoRegisterIsLive) {
    XsaveState xsave;
    xsave.mxcsr = 0x7f80;
    std::vector<std::byte> area(kMaxXsaveArea);
    ASSERT_TRUE(expand_xsave(xsave, intel_layout(), area));
    EXPECT_NE(area[512] & std::byte{2}, std::byte{});
    EXPECT_EQ(area[25], std::byte{0x7f});
}

TEST(XsaveArea, PkruCountsWhateverItsBitSays) {
    std::vector<std::byte> area(kMaxXsaveArea);
    area[2688] = std::byte{0x54};
    const XsaveState xsave = compact_xsave(area, kShippableXcr0, intel_layout());
    ASSERT_EQ(xsave.components.size(), 1u);
    EXPECT_EQ(xsave.components[0].index, 9);
}

TEST(XsaveArea, AnotherLayoutIsRefused) {
    XsaveState xsave = everything_live_state().xsave;
    xsave.components.back().offset = 832;  // where AMD has PKRU
    std::vector<std::byte> area(kMaxXsaveArea);
    EXPECT_FALSE(expand_xsave(xsave, intel_layout(), area));
}

TEST(MsrPlan, TakesTheGuestsAndLeavesTheHosts) {
    for (const std::uint32_t guest : {0x3bu, 0x174u, 0x277u, 0x48u, 0xc0000081u, 0xc0000102u,
                                      0xc0000103u, 0x1a0u, 0x2ffu, 0x6a0u})
        EXPECT_TRUE(msr_travels(guest)) << guest;
    for (const std::uint32_t host : {0x10u, 0x1bu, 0x8bu, 0x6e0u, 0x808u, 0x480u, 0x4b564d01u,
                                     0x40000000u, 0xc0000080u, 0xc0000100u})
        EXPECT_FALSE(msr_travels(host)) << host;
}

}  // namespace
}  // namespace vsmp::shipper
