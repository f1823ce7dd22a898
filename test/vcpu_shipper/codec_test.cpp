#include <gtest/gtest.h>

#include <random>

#include "test/vcpu_shipper/example_states.hpp"
#include "vcpu_shipper/core/message.hpp"

namespace vsmp::shipper {
namespace {

constexpr std::size_t kFrameOverhead = 14 + 48 + kMessageHeaderSize;

TEST(VcpuStateCodec, RoundTrips) {
    for (const VcpuState& state : {VcpuState{}, idle_fpu_state(), everything_live_state()}) {
        const Result<VcpuState> back = decode(encoded(state));
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(*back, state);
    }
}

TEST(VcpuStateCodec, FitsOneFrameAndIsSmallWhenTheFpuIsIdle) {
    const std::size_t idle = encoded(idle_fpu_state()).size();
    VcpuState all_fpu = everything_live_state();
    all_fpu.msrs = idle_fpu_state().msrs;
    all_fpu.local_apic.clear();
    const std::size_t fpu = encoded(all_fpu).size();
    const std::size_t live = encoded(everything_live_state()).size();
    std::printf(
        "state bytes: FPU idle %zu, all of AVX-512 live %zu, everything live %zu "
        "(frames %zu, %zu, %zu), without the local APIC but in the last\n",
        idle, fpu, live, idle + kFrameOverhead, fpu + kFrameOverhead, live + kFrameOverhead);
    EXPECT_LT(idle, 600u);
    EXPECT_LE(live, kMaxStateBytes);
    EXPECT_LE(live + kFrameOverhead, 8978u);
}

TEST(VcpuStateCodec, EveryTruncationIsRefused) {
    const auto bytes = encoded(everything_live_state());
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(decode(ByteView{bytes}.first(size))) << size;
}

TEST(VcpuStateCodec, TrailingBytesAreRefused) {
    auto bytes = encoded(idle_fpu_state());
    bytes.push_back(std::byte{});
    EXPECT_FALSE(decode(bytes));
}

// Whatever single byte is changed: refused, or another state whose one encoding these bytes are.
TEST(VcpuStateCodec, WhatIsAcceptedIsCanonical) {
    std::mt19937 random{1};
    for (const VcpuState& state : {idle_fpu_state(), everything_live_state()}) {
        const auto bytes = encoded(state);
        unsigned accepted = 0, refused = 0;
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            auto changed = bytes;
            changed[at] ^= static_cast<std::byte>(1 + random() % 255);
            const Result<VcpuState> decoded = decode(changed);
            (decoded ? accepted : refused) += 1;
            if (decoded) {
                EXPECT_NE(*decoded, state) << at;
                EXPECT_EQ(encoded(*decoded), changed) << at;
            }
        }
        EXPECT_GT(accepted, 0u);
        EXPECT_GT(refused, 0u);
    }
}

TEST(VcpuStateCodec, SectionWithNothingInItIsRefused) {
    auto bytes = encoded(VcpuState{});
    bytes[2] = std::byte{1 << 2};  // interrupt bitmap
    bytes.resize(bytes.size() + 32);
    EXPECT_FALSE(decode(bytes));
    bytes.back() = std::byte{1};
    EXPECT_TRUE(decode(bytes));
}

struct BrokenRule {
    const char* name;
    void (*break_it)(VcpuState&);
};

class VcpuStateRules : public testing::TestWithParam<BrokenRule> {};

TEST_P(VcpuStateRules, AreChecked) {
    VcpuState state = everything_live_state();
    ASSERT_TRUE(validate(state));
    GetParam().break_it(state);
    EXPECT_FALSE(validate(state));
}

INSTANTIATE_TEST_SUITE_P(
    All, VcpuStateRules,
    testing::Values(
        BrokenRule{"SegmentRights", [](VcpuState& s) { s.system.gs.rights = 1 << 9; }},
        BrokenRule{"Cr8", [](VcpuState& s) { s.system.cr8 = 16; }},
        BrokenRule{"Xcr0WithoutX87", [](VcpuState& s) { s.xsave.xcr0 = 6; }},
        BrokenRule{"Xcr0WithAmx", [](VcpuState& s) { s.xsave.xcr0 |= 3u << 17; }},
        BrokenRule{"Mxcsr", [](VcpuState& s) { s.xsave.mxcsr = 0x10000; }},
        BrokenRule{"MxcsrTwice",
                   [](VcpuState& s) { s.xsave.components[0].bytes[24] = std::byte{1}; }},
        BrokenRule{"ComponentTwice",
                   [](VcpuState& s) { s.xsave.components[3] = s.xsave.components[2]; }},
        BrokenRule{"ComponentUnknown", [](VcpuState& s) { s.xsave.components[8].index = 17; }},
        BrokenRule{"ComponentEmpty", [](VcpuState& s) { s.xsave.components[8].bytes.clear(); }},
        BrokenRule{"ComponentInLegacyArea",
                   [](VcpuState& s) { s.xsave.components[2].offset = 500; }},
        BrokenRule{"ComponentsOverlap", [](VcpuState& s) { s.xsave.components[8].offset = 1153; }},
        BrokenRule{"ComponentBeyondTheArea",
                   [](VcpuState& s) { s.xsave.components[8].offset = 4089; }},
        BrokenRule{"X87TooShort", [](VcpuState& s) { s.xsave.components[0].bytes.resize(159); }},
        BrokenRule{"SseElsewhere", [](VcpuState& s) { s.xsave.components[1].offset = 161; }},
        BrokenRule{"MsrOrder", [](VcpuState& s) { std::swap(s.msrs[0], s.msrs[1]); }},
        BrokenRule{"MsrZero", [](VcpuState& s) { s.msrs[0].value = 0; }},
        BrokenRule{"MsrCount",
                   [](VcpuState& s) {
                       s.msrs.push_back({~0u, 1});
                   }},
        BrokenRule{"Shadow", [](VcpuState& s) { s.events.shadow = 4; }},
        BrokenRule{"Nmis", [](VcpuState& s) { s.events.nmi_pending = 3; }},
        BrokenRule{"LocalApic", [](VcpuState& s) { s.local_apic.push_back(std::byte{}); }}),
    [](const auto& rule) { return std::string{rule.param.name}; });

TEST(VcpuStateCodecDeathTest, EncodingAnInvalidStateAborts) {
    VcpuState state;
    state.system.cr8 = 16;
    EXPECT_DEATH((void)encoded(state), "CR8 above 15");
}

}  // namespace
}  // namespace vsmp::shipper
