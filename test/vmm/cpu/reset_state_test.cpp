#include "vmm/cpu/reset_state.hpp"

#include <gtest/gtest.h>

namespace vsmp::cpu {
namespace {

TEST(ResetState, AfterInit) {
    kvm_sregs before{};
    before.cr0 = 0xe0050033;
    before.cr3 = 0x1000;
    before.cr4 = 0x620;
    before.efer = 0xd01;
    before.apic_base = 0xfee00c00;
    const kvm_sregs sregs = init_sregs(before);
    EXPECT_EQ(sregs.cr0, 0x60000010u) << "CD and NW are kept";
    EXPECT_EQ(sregs.cr3 | sregs.cr4 | sregs.efer, 0u);
    EXPECT_EQ(sregs.apic_base, 0xfee00c00u);
    EXPECT_EQ(sregs.cs.base, 0xffff0000u);
    EXPECT_EQ(sregs.cs.selector, 0xf000);
    EXPECT_EQ(sregs.ss.limit, 0xffffu);
    EXPECT_EQ(sregs.idt.limit, 0xffff);
    before.cr0 = 0x33;
    EXPECT_EQ(init_sregs(before).cr0, 0x10u);

    const kvm_regs regs = init_regs(0x806f8);
    EXPECT_EQ(regs.rip, 0xfff0u);
    EXPECT_EQ(regs.rflags, 2u);
    EXPECT_EQ(regs.rdx, 0x806f8u);
    EXPECT_EQ(regs.rax | regs.rsp, 0u);
}

TEST(ResetState, SipiNamesAPage) {
    kvm_sregs sregs = init_sregs({});
    kvm_regs regs = init_regs(0);
    start_at(0x9a, regs, sregs);
    EXPECT_EQ(sregs.cs.base, 0x9a000u);
    EXPECT_EQ(sregs.cs.selector, 0x9a00);
    EXPECT_EQ(regs.rip, 0u);
}

}  // namespace
}  // namespace vsmp::cpu
