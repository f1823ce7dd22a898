#include "vmm/cpu/cpuid.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace vsmp::cpu {
namespace {

using Leaves = std::vector<CpuidLeaf>;

// Made-up hosts that offer everything.
Leaves intel_host() {
    return {
        {.function = 0x0, .eax = 0x20, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69},
        {.function = 0x1, .eax = 0x806f8, .ebx = 0x00010800, .ecx = ~0u, .edx = ~0u},
        {.function = 0x4, .index = 0, .flags = 1, .eax = 0xfc1fc121},
        {.function = 0x4, .index = 4, .flags = 1},
        {.function = 0x7, .index = 0, .flags = 1, .eax = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u},
        {.function = 0x7, .index = 1, .flags = 1, .eax = ~0u, .edx = ~0u},
        {.function = 0xa, .eax = 0x8300805},
        {.function = 0xb, .index = 0, .flags = 1, .eax = 1, .ebx = 2, .ecx = 0x100},
        {.function = 0xd, .index = 0, .flags = 1, .eax = 0x602e7, .ecx = 11008},
        {.function = 0xd, .index = 1, .flags = 1, .eax = 0x1f, .ecx = 0x1800},
        {.function = 0xd, .index = 2, .flags = 1, .eax = 256, .ebx = 576},
        {.function = 0xd, .index = 5, .flags = 1, .eax = 64, .ebx = 1088},
        {.function = 0xd, .index = 6, .flags = 1, .eax = 512, .ebx = 1152},
        {.function = 0xd, .index = 7, .flags = 1, .eax = 1024, .ebx = 1664},
        {.function = 0xd, .index = 9, .flags = 1, .eax = 8, .ebx = 2688},
        {.function = 0xd, .index = 17, .flags = 1, .eax = 64, .ebx = 2752},
        {.function = 0xd, .index = 18, .flags = 1, .eax = 8192, .ebx = 2816},
        {.function = 0x15, .eax = 2, .ebx = 100, .ecx = 25'000'000},
        {.function = 0x1d, .index = 0, .flags = 1, .eax = 1},
        {.function = 0x1f, .index = 0, .flags = 1, .eax = 1},
        {.function = 0x40000000, .eax = 0x40000001},
        {.function = 0x40000001, .eax = ~0u},
        {.function = 0x80000000, .eax = 0x80000008},
        {.function = 0x80000001, .ecx = 0x121, .edx = 0x2c100800},
        {.function = 0x80000008, .eax = 0x3034},
    };
}

Leaves amd_host() {
    return {
        {.function = 0x0, .eax = 0xd, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65},
        {.function = 0x1, .eax = 0x800f12, .ebx = 0x800, .ecx = 0x7ed8320b, .edx = 0x178bfbff},
        {.function = 0x80000000, .eax = 0x8000001f},
        {.function = 0x80000001, .ecx = ~0u, .edx = ~0u},
        {.function = 0x80000008, .eax = 0x3030, .ecx = 0x700f},
        {.function = 0x8000000a, .eax = 1},
        {.function = 0x8000001d, .index = 0, .flags = 1, .eax = 0x4121 | 7 << 14},
        {.function = 0x8000001e, .eax = 5},
    };
}

const CpuidLeaf& leaf(const Leaves& leaves, std::uint32_t function, std::uint32_t index = 0) {
    static const CpuidLeaf none;
    const CpuidLeaf* found = find_leaf(leaves, function, index);
    EXPECT_NE(found, nullptr) << std::hex << function << "." << index;
    return found != nullptr ? *found : none;
}

bool bit(std::uint32_t value, unsigned n) {
    return (value >> n & 1) != 0;
}

TEST(GuestCpuid, FeaturesOfLeaf1) {
    const Leaves guest = guest_cpuid(intel_host(), VcpuId(5), {6, 0});
    const CpuidLeaf& one = leaf(guest, 1);
    EXPECT_EQ(one.eax, 0x806f8u);
    EXPECT_EQ(one.ebx >> 24, 5u) << "initial APIC ID";
    EXPECT_EQ(one.ebx >> 16 & 0xff, 8u) << "IDs reserved for threads: 6, rounded up";
    EXPECT_EQ(one.ebx & 0xff00, 0x0800u) << "CLFLUSH size stays";
    for (const unsigned shown : {21u, 24u, 31u, 26u, 28u}) EXPECT_TRUE(bit(one.ecx, shown));
    for (const unsigned hidden : {2u, 3u, 5u, 15u}) EXPECT_FALSE(bit(one.ecx, hidden)) << hidden;
    EXPECT_TRUE(bit(one.edx, 9));
    EXPECT_TRUE(bit(one.edx, 28));
    EXPECT_FALSE(bit(one.edx, 21));
    // What a host does not know of is added: our APIC has it.
    Leaves poor = intel_host();
    poor[1].ecx = poor[1].edx = 0;
    const Leaves alone = guest_cpuid(poor, VcpuId(0), {1, 0});
    EXPECT_EQ(leaf(alone, 1).ecx, 1u << 21 | 1u << 31);
    EXPECT_EQ(leaf(alone, 1).edx, 1u << 9) << "a single thread has no HTT";
}

TEST(GuestCpuid, DeadlineTimersWhereAllHostsHaveThem) {
    std::vector<Leaves> hosts{intel_host(), intel_host()};
    for (Leaves& host : hosts) set_deadline_timers(host, DeadlineTimers::present);
    EXPECT_TRUE(bit(leaf(guest_cpuid(*intersect(hosts), VcpuId(0), {2, 0}), 1).ecx, 24));
    set_deadline_timers(hosts[1], DeadlineTimers::absent);
    EXPECT_FALSE(bit(leaf(guest_cpuid(*intersect(hosts), VcpuId(0), {2, 0}), 1).ecx, 24));
}

TEST(GuestCpuid, WhatDoesNotTravelIsHidden) {
    const Leaves guest = guest_cpuid(intel_host(), VcpuId(0), {2, 0});
    EXPECT_EQ(find_leaf(guest, 0xa), nullptr) << "PMU";
    EXPECT_EQ(find_leaf(guest, 0x1d), nullptr) << "AMX";
    EXPECT_EQ(find_leaf(guest, 0x1f), nullptr);
    EXPECT_EQ(find_leaf(guest, 0xd, 17), nullptr);
    EXPECT_EQ(find_leaf(guest, 0xd, 18), nullptr);
    for (const unsigned amx : {22u, 24u, 25u}) EXPECT_FALSE(bit(leaf(guest, 7).edx, amx));
    EXPECT_FALSE(bit(leaf(guest, 7).ecx, 7)) << "CET";
    EXPECT_FALSE(bit(leaf(guest, 7, 1).eax, 21)) << "AMX_FP16";
    EXPECT_TRUE(bit(leaf(guest, 7).ebx, 16)) << "AVX-512 stays";
    EXPECT_TRUE(bit(leaf(guest, 7).ebx, 1)) << "TSC_ADJUST stays";
    EXPECT_EQ(leaf(guest, 0xd).eax, 0x2e7u);
    EXPECT_EQ(leaf(guest, 0xd).ecx, 2696u) << "up to the end of PKRU";
    EXPECT_EQ(leaf(guest, 0xd, 1).ecx, 0u) << "no supervisor components";
    EXPECT_FALSE(bit(leaf(guest, 0xd, 1).eax, 4)) << "XFD";
}

TEST(GuestCpuid, Topology) {
    const Leaves guest = guest_cpuid(intel_host(), VcpuId(5), {6, 0});
    EXPECT_GE(leaf(guest, 0).eax, 0xbu);
    EXPECT_EQ(leaf(guest, 0xb, 0), (CpuidLeaf{0xb, 0, 1, 0, 1, 0x100, 5}));
    EXPECT_EQ(leaf(guest, 0xb, 1), (CpuidLeaf{0xb, 1, 1, 3, 6, 0x201, 5}));
    EXPECT_EQ(leaf(guest, 0xb, 2).ecx, 2u);
    EXPECT_EQ(leaf(guest, 4).eax >> 26, 7u);
    EXPECT_EQ(leaf(guest, 4).eax >> 14 & 0xfff, 0u) << "caches are not shared";
    EXPECT_EQ(leaf(guest, 4, 4).eax, 0u) << "the end of the list stays the end";
}

TEST(GuestCpuid, TopologyOnAmd) {
    const Leaves guest = guest_cpuid(amd_host(), VcpuId(2), {3, 2'000'000});
    EXPECT_EQ(leaf(guest, 0x80000008).ecx, 2u | 2u << 12);
    EXPECT_EQ(leaf(guest, 0x8000001e).eax, 2u);
    EXPECT_EQ(leaf(guest, 0x8000001e).ebx, 2u);
    EXPECT_EQ(leaf(guest, 0x8000001d).eax >> 14 & 0xfff, 0u);
    EXPECT_TRUE(bit(leaf(guest, 0x80000001).ecx, 22));
    EXPECT_FALSE(bit(leaf(guest, 0x80000001).ecx, 2)) << "SVM";
    for (const unsigned perf : {23u, 24u, 28u})
        EXPECT_FALSE(bit(leaf(guest, 0x80000001).ecx, perf));
    EXPECT_EQ(find_leaf(guest, 0x8000000a), nullptr);
    EXPECT_EQ(find_leaf(guest, 0x15), nullptr);
}

TEST(GuestCpuid, ClockAndHypervisor) {
    const Leaves guest = guest_cpuid(intel_host(), VcpuId(0), {2, 2'500'000});
    EXPECT_EQ(leaf(guest, 0x80000007).edx, 1u << 8);
    EXPECT_EQ(leaf(guest, 6).eax, 1u << 2) << "ARAT";
    EXPECT_EQ(leaf(guest, 0x15), (CpuidLeaf{0x15, 0, 0, 1, 1, 2'500'000'000, 0}));
    const CpuidLeaf& signature = leaf(guest, 0x40000000);
    EXPECT_EQ(signature.eax, 0x40000001u);
    std::string name;
    for (const std::uint32_t part : {signature.ebx, signature.ecx, signature.edx})
        for (unsigned i = 0; i < 32; i += 8) name += static_cast<char>(part >> i);
    EXPECT_EQ(name, std::string("KVMKVMKVM\0\0\0", 12));
    EXPECT_EQ(leaf(guest, 0x40000001).eax, 2u) << "only NOP_IO_DELAY";
}

TEST(GuestCpuid, NoLeafTwice) {
    for (const Leaves& host : {intel_host(), amd_host()}) {
        const Leaves guest = guest_cpuid(host, VcpuId(0), {4, 3'000'000});
        const auto same = std::adjacent_find(
            guest.begin(), guest.end(), [](const CpuidLeaf& a, const CpuidLeaf& b) {
                return a.function == b.function && a.index == b.index;
            });
        EXPECT_EQ(same, guest.end());
    }
}

TEST(Intersect, OneHostIsItself) {
    const Leaves hosts[] = {intel_host()};
    EXPECT_EQ(*intersect(hosts), intel_host());
}

TEST(Intersect, KeepsWhatAllHave) {
    Leaves a = intel_host(), b = intel_host();
    b[0].eax = 0x16;
    b[1].ecx = 0x0f0f0f0f;
    b[1].eax = 0x50654;  // another model: the first host's is shown
    b[4].ebx = 0x00ff00ff;
    std::erase_if(b, [](const CpuidLeaf& l) { return l.function == 0x1d; });
    b.back().eax = 0x392e;
    const Leaves hosts[] = {a, b};
    const auto common = intersect(hosts);
    ASSERT_TRUE(common);
    EXPECT_EQ(leaf(*common, 0).eax, 0x16u);
    EXPECT_EQ(leaf(*common, 1).ecx, 0x0f0f0f0fu);
    EXPECT_EQ(leaf(*common, 1).eax, 0x806f8u);
    EXPECT_EQ(leaf(*common, 7).ebx, 0x00ff00ffu);
    EXPECT_EQ(leaf(*common, 0x80000008).eax, 0x302eu) << "the smaller of each address size";
    EXPECT_EQ(find_leaf(*common, 0x1d), nullptr);
}

TEST(Intersect, XsaveComponentsAtOtherPlacesAreDropped) {
    Leaves a = intel_host(), b = intel_host();
    for (CpuidLeaf& l : b)
        if (l.function == 0xd && l.index == 9) l.ebx += 64;
    const Leaves hosts[] = {a, b};
    const auto common = intersect(hosts);
    ASSERT_TRUE(common);
    EXPECT_FALSE(bit(leaf(*common, 0xd).eax, 9));
    EXPECT_EQ(find_leaf(*common, 0xd, 9), nullptr);
    EXPECT_EQ(leaf(guest_cpuid(*common, VcpuId(0), {1, 0}), 0xd).ecx, 2688u);
}

TEST(Intersect, VendorsDoNotMix) {
    const Leaves hosts[] = {intel_host(), intel_host(), amd_host()};
    const auto common = intersect(hosts);
    ASSERT_FALSE(common);
    EXPECT_EQ(common.error().message, "the processors of hosts 0 and 2 are of different vendors");
    EXPECT_FALSE(intersect({}));
}

}  // namespace
}  // namespace vsmp::cpu
