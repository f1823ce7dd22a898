#include "vmm/cpu/interrupt_router.hpp"

#include <gtest/gtest.h>

namespace vsmp::cpu {
namespace {

VcpuSet set_of(std::initializer_list<std::size_t> ids) {
    VcpuSet set;
    for (const std::size_t id : ids) set.set(id);
    return set;
}

Destination physical(std::uint32_t id, DestinationWidth width = DestinationWidth::bits8) {
    return {id, DestinationMode::physical, width};
}
Destination logical(std::uint32_t id, DestinationWidth width = DestinationWidth::bits8) {
    return {id, DestinationMode::logical, width};
}

VcpuSet fixed(const InterruptRouter& router, const Destination& to) {
    return router.resolve(to, DeliveryMode::fixed, 0x40);
}

InterruptRouter flat(std::uint16_t count) {
    InterruptRouter router(count);
    for (std::uint16_t i = 0; i < count; ++i)
        router.set_address(VcpuId(i), {ApicMode::xapic, i, 1u << (24 + i), 0xffffffff});
    return router;
}

InterruptRouter x2apic(std::uint16_t count) {
    InterruptRouter router(count);
    for (std::uint32_t i = 0; i < count; ++i)
        router.set_address(VcpuId(static_cast<std::uint16_t>(i)),
                           {ApicMode::x2apic, i, (i >> 4) << 16 | 1u << (i & 15), 0xffffffff});
    return router;
}

TEST(InterruptRouter, Physical) {
    const InterruptRouter router(4);
    EXPECT_EQ(fixed(router, physical(2)), set_of({2}));
    EXPECT_EQ(fixed(router, physical(9)), set_of({}));
    EXPECT_EQ(fixed(router, physical(0xff)), set_of({0, 1, 2, 3}));
    EXPECT_EQ(fixed(router, physical(0xff, DestinationWidth::bits32)), set_of({}));
    EXPECT_EQ(fixed(router, physical(0xffffffff, DestinationWidth::bits32)), set_of({0, 1, 2, 3}));
}

TEST(InterruptRouter, LogicalFlat) {
    const InterruptRouter router = flat(4);
    EXPECT_EQ(fixed(router, logical(0b0101)), set_of({0, 2}));
    EXPECT_EQ(fixed(router, logical(0b10000)), set_of({}));
    EXPECT_EQ(fixed(router, logical(0xff)), set_of({0, 1, 2, 3}));
    EXPECT_EQ(fixed(router, logical(0x101, DestinationWidth::bits32)), set_of({}));
    EXPECT_EQ(fixed(InterruptRouter(2), logical(1)), set_of({})) << "no logical ID yet";
}

TEST(InterruptRouter, LogicalCluster) {
    InterruptRouter router(3);
    router.set_address(VcpuId(0), {ApicMode::xapic, 0, 0x11000000, 0x0fffffff});
    router.set_address(VcpuId(1), {ApicMode::xapic, 1, 0x12000000, 0x0fffffff});
    router.set_address(VcpuId(2), {ApicMode::xapic, 2, 0x21000000, 0x0fffffff});
    EXPECT_EQ(fixed(router, logical(0x13)), set_of({0, 1}));
    EXPECT_EQ(fixed(router, logical(0x21)), set_of({2}));
    EXPECT_EQ(fixed(router, logical(0xf1)), set_of({0, 2})) << "every cluster";
    router.set_address(VcpuId(0), {ApicMode::xapic, 0, 0x11000000, 0x5fffffff});
    EXPECT_EQ(fixed(router, logical(0x11)), set_of({})) << "no such model";
}

TEST(InterruptRouter, LogicalX2apic) {
    const InterruptRouter router = x2apic(40);
    EXPECT_EQ(fixed(router, logical(0x10006, DestinationWidth::bits32)), set_of({17, 18}));
    EXPECT_EQ(fixed(router, logical(0x30001, DestinationWidth::bits32)), set_of({}));
    EXPECT_EQ(fixed(router, logical(0x06)), set_of({1, 2})) << "8 bits reach cluster 0";
}

TEST(InterruptRouter, DisabledOnesHearNothing) {
    InterruptRouter router(2);
    router.set_address(VcpuId(1), {ApicMode::disabled, 1, 0, 0xffffffff});
    EXPECT_EQ(fixed(router, physical(1)), set_of({}));
    EXPECT_EQ(fixed(router, physical(0xff)), set_of({0}));
}

TEST(InterruptRouter, LowestPriorityPicksOneAndAlwaysTheSame) {
    const InterruptRouter router = flat(4);
    VcpuSet seen;
    for (unsigned vector = 0x20; vector < 0x30; ++vector) {
        const auto v = static_cast<std::uint8_t>(vector);
        const auto picked = router.resolve(logical(0b1011), DeliveryMode::lowest_priority, v);
        EXPECT_EQ(picked.count(), 1u);
        EXPECT_EQ(picked, router.resolve(logical(0b1011), DeliveryMode::lowest_priority, v));
        seen |= picked;
    }
    EXPECT_EQ(seen, set_of({0, 1, 3})) << "vectors are spread";
    EXPECT_EQ(router.resolve(physical(9), DeliveryMode::lowest_priority, 0x20), set_of({}));
}

TEST(InterruptRouter, Shorthands) {
    const InterruptRouter router = flat(4);
    const auto to = [&](Shorthand shorthand) {
        return router.resolve(VcpuId(1), {.vector = 0x40, .shorthand = shorthand});
    };
    EXPECT_EQ(to(Shorthand::self), set_of({1}));
    EXPECT_EQ(to(Shorthand::all_including_self), set_of({0, 1, 2, 3}));
    EXPECT_EQ(to(Shorthand::all_excluding_self), set_of({0, 2, 3}));
    EXPECT_EQ(router.resolve(VcpuId(1), {.vector = 0x40, .to = physical(3)}), set_of({3}));
}

TEST(InterruptRouter, WhatArrives) {
    EXPECT_EQ(interrupt_for(DeliveryMode::fixed, 0x40, Trigger::level),
              (Interrupt{InterruptKind::fixed, 0x40, Trigger::level}));
    EXPECT_EQ(interrupt_for(DeliveryMode::lowest_priority, 0x40, Trigger::edge),
              (Interrupt{InterruptKind::fixed, 0x40}));
    EXPECT_EQ(interrupt_for(DeliveryMode::nmi, 2, Trigger::edge), (Interrupt{InterruptKind::nmi}));
    EXPECT_EQ(interrupt_for(DeliveryMode::init, 0, Trigger::edge),
              (Interrupt{InterruptKind::init}));
    EXPECT_EQ(interrupt_for(DeliveryMode::startup, 0x99, Trigger::edge),
              (Interrupt{InterruptKind::sipi, 0x99}));
    for (const auto mode : {DeliveryMode::smi, DeliveryMode::reserved_3, DeliveryMode::ext_int})
        EXPECT_EQ(interrupt_for(mode, 0x40, Trigger::edge), std::nullopt);
}

}  // namespace
}  // namespace vsmp::cpu
