#include "vmm/cpu/lapic.hpp"

#include <gtest/gtest.h>

namespace vsmp::cpu {
namespace {

constexpr GuestTsc kNow{1000};

// xAPIC mode, software-enabled.
struct Xapic : ::testing::Test {
    Xapic() { write(0xf0, 0x1ff); }
    std::uint32_t read(std::uint32_t offset) { return apic.read_register(offset, kNow); }
    ApicEffects write(std::uint32_t offset, std::uint32_t value) {
        return apic.write_register(offset, value, kNow);
    }
    // The processor takes what comes next, if something does.
    std::optional<std::uint8_t> serve() {
        const auto vector = apic.injectable();
        if (vector) apic.begin_service(*vector);
        return vector;
    }
    LocalApic apic{VcpuId(3), ApicRole::application};
};

struct X2apic : ::testing::Test {
    X2apic() {
        apic.set_base(0xfee00c00);
        EXPECT_TRUE(apic.write_msr(0x80f, 0x1ff, kNow));
    }
    LocalApic apic{VcpuId(0x25), ApicRole::application};
};

TEST(LocalApic, PowerUpState) {
    LocalApic bootstrap(VcpuId(0), ApicRole::bootstrap);
    EXPECT_EQ(bootstrap.base(), 0xfee00900u);
    LocalApic apic(VcpuId(3), ApicRole::application);
    EXPECT_EQ(apic.base(), 0xfee00800u);
    EXPECT_EQ(apic.mode(), ApicMode::xapic);
    EXPECT_EQ(apic.read_register(0x20, kNow), 3u << 24);
    EXPECT_EQ(apic.read_register(0x30, kNow), 0x50014u);
    EXPECT_EQ(apic.read_register(0xe0, kNow), 0xffffffffu);
    EXPECT_EQ(apic.read_register(0xf0, kNow), 0xffu);
    for (std::uint32_t lvt = 0x320; lvt <= 0x370; lvt += 0x10)
        EXPECT_EQ(apic.read_register(lvt, kNow), 0x10000u);
    apic.accept(0x40, Trigger::edge);
    EXPECT_EQ(apic.injectable(), std::nullopt) << "software-disabled";
}

TEST_F(Xapic, HighestVectorFirstAndNestedByClass) {
    apic.accept(0x45, Trigger::edge);
    apic.accept(0x61, Trigger::edge);
    apic.accept(0x68, Trigger::edge);
    EXPECT_EQ(read(0x220), 1u << 5) << "IRR, vectors 0x40 to 0x5f";
    EXPECT_EQ(serve(), 0x68);
    EXPECT_EQ(read(0xa0), 0x60u) << "PPR";
    EXPECT_EQ(serve(), std::nullopt) << "0x61 is of the same class";
    apic.accept(0x71, Trigger::edge);
    EXPECT_EQ(serve(), 0x71) << "a higher class interrupts";
    EXPECT_EQ(read(0x130), 1u << 8 | 1u << 17) << "ISR, vectors 0x60 to 0x7f";
    EXPECT_EQ(write(0xb0, 0).eoi, std::nullopt);
    EXPECT_EQ(serve(), std::nullopt);
    write(0xb0, 0);
    EXPECT_EQ(serve(), 0x61);
    write(0xb0, 0);
    EXPECT_EQ(serve(), 0x45);
    write(0xb0, 0);
    EXPECT_EQ(serve(), std::nullopt);
    EXPECT_EQ(write(0xb0, 0).eoi, std::nullopt) << "an EOI with nothing in service";
}

TEST_F(Xapic, AVectorIsPendingOrNot) {
    apic.accept(0x45, Trigger::edge);
    apic.accept(0x45, Trigger::edge);
    EXPECT_EQ(serve(), 0x45);
    apic.accept(0x45, Trigger::edge);  // once more while in service: remembered
    write(0xb0, 0);
    EXPECT_EQ(serve(), 0x45);
    write(0xb0, 0);
    EXPECT_EQ(serve(), std::nullopt);
}

TEST_F(Xapic, TaskPriority) {
    apic.accept(0x45, Trigger::edge);
    write(0x80, 0x4f);
    EXPECT_EQ(read(0xa0), 0x4fu);
    EXPECT_EQ(apic.injectable(), std::nullopt);
    write(0x80, 0x3f);
    EXPECT_EQ(apic.injectable(), 0x45);
    EXPECT_EQ(apic.cr8(), 3);
    apic.set_cr8(3);
    EXPECT_EQ(read(0x80), 0x3fu) << "an unchanged CR8 leaves the low bits alone";
    apic.set_cr8(4);
    EXPECT_EQ(read(0x80), 0x40u);
    EXPECT_EQ(apic.injectable(), std::nullopt);
}

TEST_F(Xapic, LevelTriggeredEoiIsBroadcast) {
    apic.accept(0x51, Trigger::level);
    EXPECT_EQ(read(0x1a0), 1u << 17) << "TMR";
    EXPECT_EQ(serve(), 0x51);
    EXPECT_EQ(write(0xb0, 0).eoi, 0x51);
    apic.accept(0x51, Trigger::edge);
    EXPECT_EQ(read(0x1a0), 0u);
    EXPECT_EQ(serve(), 0x51);
    EXPECT_EQ(write(0xb0, 0).eoi, std::nullopt);
}

TEST_F(Xapic, SoftwareDisableMasksAndKeepsWhatIsPending) {
    apic.accept(0x45, Trigger::edge);
    write(0x320, 0x40);
    write(0xf0, 0xff);
    EXPECT_EQ(read(0x320), 0x10040u);
    write(0x320, 0x40);
    EXPECT_EQ(read(0x320), 0x10040u) << "cannot be unmasked meanwhile";
    apic.accept(0x46, Trigger::edge);
    EXPECT_EQ(serve(), 0x45);
    write(0xb0, 0);
    EXPECT_EQ(serve(), std::nullopt) << "0x46 was refused";
}

TEST_F(Xapic, CommandRegister) {
    write(0x310, 0x05000000);
    EXPECT_EQ(write(0x300, 0x4040).ipi,
              (Ipi{.vector = 0x40, .to = {5, DestinationMode::physical, DestinationWidth::bits8}}));
    EXPECT_EQ(read(0x300), 0x4040u);
    EXPECT_EQ(read(0x310), 0x05000000u);
    EXPECT_EQ(write(0x300, 0x4940).ipi,
              (Ipi{.delivery = DeliveryMode::lowest_priority,
                   .vector = 0x40,
                   .to = {5, DestinationMode::logical, DestinationWidth::bits8}}));
    EXPECT_EQ(write(0x300, 0x4400).ipi->delivery, DeliveryMode::nmi);
    EXPECT_EQ(write(0x300, 0xc500).ipi->delivery, DeliveryMode::init);
    EXPECT_EQ(write(0x300, 0x8500).ipi, std::nullopt) << "INIT level de-assert";
    EXPECT_EQ(write(0x300, 0x4699).ipi,
              (Ipi{.delivery = DeliveryMode::startup,
                   .vector = 0x99,
                   .to = {5, DestinationMode::physical, DestinationWidth::bits8}}));
    EXPECT_EQ(write(0x300, 0xc4040).ipi,
              (Ipi{.vector = 0x40, .shorthand = Shorthand::all_excluding_self}));
    EXPECT_EQ(write(0x300, 0x84040).ipi,
              (Ipi{.vector = 0x40, .shorthand = Shorthand::all_including_self}));
    for (const std::uint32_t nothing : {0x4240u, 0x4340u, 0x4740u})
        EXPECT_EQ(write(0x300, nothing).ipi, std::nullopt) << "SMI, reserved, ExtINT";
    EXPECT_EQ(serve(), std::nullopt);
    EXPECT_EQ(write(0x300, 0x44040).ipi, std::nullopt) << "to itself: stays here";
    EXPECT_EQ(serve(), 0x40);
}

TEST_F(Xapic, Errors) {
    write(0x370, 0xee);
    EXPECT_EQ(write(0x300, 0x400f).ipi, std::nullopt) << "vectors below 16 are illegal";
    EXPECT_EQ(serve(), 0xee) << "the error interrupt";
    write(0xb0, 0);
    apic.accept(3, Trigger::edge);
    EXPECT_EQ(serve(), 0xee);
    write(0xb0, 0);
    EXPECT_EQ(read(0x280), 0u) << "visible after a write only";
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 0x60u);
    EXPECT_EQ(read(0x40), 0u) << "no such register";
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 0x80u);
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 0u);
}

TEST_F(Xapic, AnErrorEntryWithAnIllegalVectorDoesNotRecurse) {
    write(0x370, 0x05);
    apic.accept(3, Trigger::edge);
    EXPECT_EQ(serve(), std::nullopt);
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 0x40u);
}

TEST_F(Xapic, LogicalAddressIsTold) {
    EXPECT_EQ(write(0xd0, 0x12345678).address,
              (ApicAddress{ApicMode::xapic, 3, 0x12000000, 0xffffffff}));
    EXPECT_EQ(write(0xe0, 0).address, (ApicAddress{ApicMode::xapic, 3, 0x12000000, 0x0fffffff}));
    EXPECT_EQ(read(0xd0), 0x12000000u);
    EXPECT_EQ(read(0xe0), 0x0fffffffu);
}

TEST_F(Xapic, OneShotTimerThroughRegisters) {
    write(0x3e0, 0xb);
    write(0x320, 0x41);
    write(0x380, 500);
    EXPECT_EQ(read(0x390), 500u);
    EXPECT_EQ(apic.next_deadline(), GuestTsc(1500));
    apic.advance(GuestTsc(1499));
    EXPECT_EQ(apic.injectable(), std::nullopt);
    apic.advance(GuestTsc(1500));
    EXPECT_EQ(apic.injectable(), 0x41);
    EXPECT_EQ(apic.next_deadline(), std::nullopt);
}

TEST_F(Xapic, NoDeadlineWhileAnExpiryWouldChangeNothing) {
    write(0x3e0, 0xb);
    write(0x320, 0x20041);
    write(0x380, 500);
    apic.advance(GuestTsc(1500));
    EXPECT_EQ(apic.next_deadline(), std::nullopt) << "still pending";
    EXPECT_EQ(serve(), 0x41);
    EXPECT_EQ(apic.next_deadline(), GuestTsc(2000));
    write(0x320, 0x30041);
    EXPECT_EQ(apic.next_deadline(), std::nullopt) << "masked";
    apic.advance(GuestTsc(2600));
    EXPECT_EQ(apic.injectable(), std::nullopt);
    EXPECT_EQ(apic.read_register(0x390, GuestTsc(2600)), 400u) << "but it counts on";
}

TEST_F(Xapic, ReservedTimerModeIsNotTaken) {
    write(0x320, 0x20041);
    write(0x320, 0x60042);
    EXPECT_EQ(read(0x320), 0x20042u);
}

TEST_F(Xapic, InitKeepsIdAndBase) {
    apic.accept(0x45, Trigger::edge);
    write(0xd0, 0x02000000);
    const auto effects = apic.init();
    EXPECT_EQ(effects.address, (ApicAddress{ApicMode::xapic, 3, 0, 0xffffffff}));
    EXPECT_EQ(apic.injectable(), std::nullopt);
    EXPECT_EQ(read(0xf0), 0xffu);
    EXPECT_EQ(read(0x20), 3u << 24);
}

TEST_F(Xapic, X2apicMsrsDoNotExist) {
    EXPECT_EQ(apic.read_msr(0x802, kNow), std::nullopt);
    EXPECT_FALSE(apic.write_msr(0x808, 0, kNow));
    EXPECT_EQ(apic.read_msr(0x6e0, kNow), 0u) << "the deadline MSR does";
}

TEST_F(X2apic, ModeSwitchKeepsStateAndTellsTheAddress) {
    LocalApic other(VcpuId(0x25), ApicRole::application);
    other.write_register(0xf0, 0x1ff, kNow);
    other.accept(0x45, Trigger::edge);
    const auto effects = other.set_base(0xfee00c00);
    EXPECT_EQ(effects.address, (ApicAddress{ApicMode::x2apic, 0x25, 0x00020020, 0xffffffff}));
    EXPECT_EQ(other.injectable(), 0x45);
    EXPECT_EQ(other.read_register(0x20, kNow), 0u) << "memory-mapped registers are gone";
    EXPECT_EQ(other.set_base(0xfee00000).address->mode, ApicMode::disabled);
    EXPECT_EQ(other.injectable(), std::nullopt);
    EXPECT_EQ(other.set_base(0xfee00000).address, std::nullopt) << "no change";
}

TEST_F(X2apic, Registers) {
    EXPECT_EQ(apic.read_msr(0x802, kNow), 0x25u);
    EXPECT_EQ(apic.read_msr(0x803, kNow), 0x50014u);
    EXPECT_EQ(apic.read_msr(0x80d, kNow), 0x00020020u);
    ASSERT_TRUE(apic.write_msr(0x808, 0x30, kNow));
    EXPECT_EQ(apic.read_msr(0x808, kNow), 0x30u);
    EXPECT_EQ(apic.read_msr(0x80a, kNow), 0x30u);
    apic.accept(0x45, Trigger::level);
    EXPECT_EQ(apic.read_msr(0x822, kNow), 1u << 5);
    apic.begin_service(0x45);
    EXPECT_EQ(apic.read_msr(0x812, kNow), 1u << 5);
    const auto eoi = apic.write_msr(0x80b, 0, kNow);
    ASSERT_TRUE(eoi);
    EXPECT_EQ(eoi->eoi, 0x45);
}

TEST_F(X2apic, WhatDoesNotExistOrIsReservedFaults) {
    for (const std::uint32_t index : {0x80bu, 0x80eu, 0x831u, 0x83fu, 0x840u, 0x8ffu, 0x804u})
        EXPECT_EQ(apic.read_msr(index, kNow), std::nullopt) << std::hex << index;
    for (const std::uint32_t index :
         {0x802u, 0x803u, 0x80au, 0x80du, 0x80eu, 0x810u, 0x820u, 0x831u, 0x839u, 0x8ffu})
        EXPECT_FALSE(apic.write_msr(index, 0, kNow)) << std::hex << index;
    const std::pair<std::uint32_t, std::uint64_t> reserved[] = {
        {0x808, 0x100},      {0x80b, 1}, {0x828, 1},     {0x80f, 0x400},   {0x832, 0x80000},
        {0x838, 1ull << 32}, {0x83e, 4}, {0x83f, 0x100}, {0x830, 0x100000}};
    for (const auto& [index, value] : reserved)
        EXPECT_FALSE(apic.write_msr(index, value, kNow)) << std::hex << index;
}

TEST_F(X2apic, CommandIsOneWrite) {
    const auto effects = apic.write_msr(0x830, 0x00020003'00004840, kNow);
    ASSERT_TRUE(effects);
    EXPECT_EQ(effects->ipi,
              (Ipi{.vector = 0x40,
                   .to = {0x00020003, DestinationMode::logical, DestinationWidth::bits32}}));
    EXPECT_EQ(apic.read_msr(0x830, kNow), 0x00020003'00004840u);
}

TEST_F(X2apic, SelfIpi) {
    const auto effects = apic.write_msr(0x83f, 0x77, kNow);
    ASSERT_TRUE(effects);
    EXPECT_EQ(effects->ipi, std::nullopt);
    EXPECT_EQ(apic.injectable(), 0x77);
    ASSERT_TRUE(apic.write_msr(0x83f, 0x07, kNow));
    ASSERT_TRUE(apic.write_msr(0x828, 0, kNow));
    EXPECT_EQ(apic.read_msr(0x828, kNow), 0x20u);
}

TEST_F(X2apic, DeadlineTimer) {
    ASSERT_TRUE(apic.write_msr(0x832, 0x40040, kNow));
    ASSERT_TRUE(apic.write_msr(0x6e0, 5000, kNow));
    EXPECT_EQ(apic.read_msr(0x6e0, kNow), 5000u);
    EXPECT_EQ(apic.next_deadline(), GuestTsc(5000));
    EXPECT_EQ(apic.read_msr(0x6e0, GuestTsc(5000)), 0u) << "it has gone off";
    EXPECT_EQ(apic.injectable(), 0x40);
    ASSERT_TRUE(apic.write_msr(0x6e0, 10, GuestTsc(6000)));  // in the past: at once
    apic.begin_service(0x40);
    apic.advance(GuestTsc(6000));
    EXPECT_EQ(apic.read_msr(0x822, GuestTsc(6000)), 1u);
}

}  // namespace
}  // namespace vsmp::cpu
