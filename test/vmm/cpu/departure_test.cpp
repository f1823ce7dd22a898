// vCPUs that leave and arrive: two VMs over one memory stand for two nodes.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>

#include "test/vmm/cpu/fake_host.hpp"

namespace vsmp::cpu {
namespace {

using test::Asm;
using test::Ring;
using test::TinyGuest;

constexpr std::uint64_t kCode = TinyGuest::kCode;
constexpr std::uint64_t kHandler = 0x11000;
constexpr std::uint32_t kBootstrap = 0x100;

struct DepartureTest : ::testing::Test {
    void SetUp() override { VSMP_NEEDS_KVM(); }

    // Moves the vCPU from one node to the other, posting `interrupt` on the way as a node does.
    void ship(VcpuRunner& from, VcpuRunner& to, const Interrupt& interrupt) {
        ASSERT_EQ(from.request_departure(NodeId(1)), Posted::accepted);
        const Posted early = from.post(interrupt);
        auto departure = host.next_departure();
        ASSERT_TRUE(departure.state);
        EXPECT_EQ(from.post(interrupt), Posted::closed);
        EXPECT_EQ(from.activity(), Activity::parked);
        to.start(ArrivalStart{*departure.state});
        if (early == Posted::closed) {
            ASSERT_EQ(to.post(interrupt), Posted::accepted);
        }
    }

    TinyGuest guest;
    FakeHost host{1};
    FakeTransplant transplant;
};

// Each interrupt is raised around a ship, with the vCPU running, halted or about to be. Its
// handler counts and tells; none may be lost, none may come twice.
TEST_F(DepartureTest, InterruptsAreNeitherLostNorDoubled) {
    Asm().x2apic(kBootstrap).out(0x10, 0).sti().hlt().raw({0xeb, 0xfd}).at(guest, kCode);
    Asm()
        .push_all()
        .inc64(TinyGuest::kData)
        .eoi()
        .out(0x11, 1)
        .pop_all()
        .iretq()
        .at(guest, kHandler);
    guest.gate(0x70, kHandler);
    TinyNode a(guest, host, 1, &transplant), b(guest, host, 1, &transplant);
    a[0].start(a.boot_at(kCode));
    EXPECT_EQ(host.next_output().port, 0x10);
    for (std::uint64_t i = 0; i < 200; ++i) {
        VcpuRunner& from = i % 2 == 0 ? a[0] : b[0];
        VcpuRunner& to = i % 2 == 0 ? b[0] : a[0];
        ship(from, to, {InterruptKind::fixed, 0x70});
        if (HasFatalFailure()) return;
        ASSERT_EQ(host.next_output().port, 0x11) << i;
        ASSERT_EQ(guest.load64(TinyGuest::kData), i + 1);
    }
    EXPECT_EQ(host.outputs_waiting(), 0u);
}

// A timer is set on one node and goes off on the other; its handler sets it again.
void timers_travel(TinyGuest& guest, FakeHost& host, FakeTransplant& transplant, std::uint32_t lvt,
                   const std::function<void(Asm&)>& arm) {
    Asm code, handler;
    code.x2apic(kBootstrap).wrmsr(0x83e, 0xb).wrmsr(0x832, lvt);
    arm(code);
    code.sti().hlt().raw({0xeb, 0xfd}).at(guest, kCode);
    handler.push_all().eoi();
    arm(handler);
    handler.out(0x11, 1).pop_all().iretq().at(guest, kHandler);
    guest.gate(0x40, kHandler);
    TinyNode a(guest, host, 1, &transplant), b(guest, host, 1, &transplant);
    a[0].start(a.boot_at(kCode));
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(host.next_output().port, 0x11);
        VcpuRunner& from = i % 2 == 0 ? a[0] : b[0];
        VcpuRunner& to = i % 2 == 0 ? b[0] : a[0];
        ASSERT_EQ(from.request_departure(NodeId(1)), Posted::accepted);
        auto departure = host.next_departure();
        ASSERT_TRUE(departure.state);
        to.start(ArrivalStart{*departure.state});
    }
}

TEST_F(DepartureTest, DeadlineTimersTravel) {
    VSMP_NEEDS_DEADLINE_TIMERS();
    timers_travel(guest, host, transplant, 0x40040, [](Asm& code) {
        code.rdtsc()
            .raw({0x05, 0x80, 0x84, 0x1e, 0x00, 0x83, 0xd2, 0x00})  // add eax,2000000; adc edx,0
            .mov_ecx(0x6e0)
            .raw({0x0f, 0x30});
    });
}

TEST_F(DepartureTest, OneShotTimersTravel) {
    timers_travel(guest, host, transplant, 0x40, [](Asm& code) { code.wrmsr(0x838, 2'000'000); });
}

// The order to leave meets a vCPU in the middle of port input: the value it was given must arrive.
TEST_F(DepartureTest, PendingInputIsFinishedFirst) {
    // L: in eax,0x21; cmp eax,0x21212121; jne F; inc qword [data]; jmp L; F: out 0x66,eax; hlt
    Asm()
        .raw({0xe5, 0x21, 0x3d, 0x21, 0x21, 0x21, 0x21, 0x75, 0x0a, 0x48, 0xff,
              0x04, 0x25, 0x00, 0x00, 0x80, 0x00, 0xeb, 0xed, 0xe7, 0x66, 0xf4})
        .at(guest, kCode);
    TinyNode a(guest, host, 1, &transplant), b(guest, host, 1, &transplant);
    a[0].start(a.boot_at(kCode));
    std::uint64_t before = 0;
    for (int i = 0; i < 100; ++i) {
        VcpuRunner& from = i % 2 == 0 ? a[0] : b[0];
        VcpuRunner& to = i % 2 == 0 ? b[0] : a[0];
        ASSERT_EQ(from.request_departure(NodeId(1)), Posted::accepted);
        auto departure = host.next_departure();
        ASSERT_TRUE(departure.state);
        EXPECT_GE(guest.load64(TinyGuest::kData), before);
        before = guest.load64(TinyGuest::kData);
        to.start(ArrivalStart{*departure.state});
    }
    EXPECT_EQ(host.outputs_waiting(), 0u) << "a wrong value was read";
}

TEST_F(DepartureTest, AVcpuThatWaitsForAPageLeaves) {
    Asm().raw({0x48, 0x8b, 0x07, 0xf4}).at(guest, kCode);  // mov rax,[rdi]; hlt
    const UniqueFd faults(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
    ASSERT_TRUE(faults);
    uffdio_api api{};
    api.api = UFFD_API;
    ASSERT_EQ(::ioctl(faults.get(), UFFDIO_API, &api), 0);
    uffdio_register area{};
    area.range = {reinterpret_cast<std::uint64_t>(guest.at(TinyGuest::kData)), kPageSize};
    area.mode = UFFDIO_REGISTER_MODE_MISSING;
    ASSERT_EQ(::ioctl(faults.get(), UFFDIO_REGISTER, &area), 0);

    TinyNode a(guest, host, 1, &transplant);
    // In ring 3: what the software KVM interprets in ring 0 waits for pages uninterruptibly.
    BootStart start = a.boot_at(kCode, Ring::user);
    start.regs.rdi = TinyGuest::kData;
    a[0].start(start);
    uffd_msg message{};
    ASSERT_EQ(::read(faults.get(), &message, sizeof message), ssize_t{sizeof message});
    ASSERT_EQ(a[0].request_departure(NodeId(1)), Posted::accepted);
    ASSERT_TRUE(host.next_departure().state);
    EXPECT_EQ(transplant.captured_regs().rip, kCode);
}

TEST_F(DepartureTest, ResumesWhereTheCaptureFailed) {
    Asm().x2apic(kBootstrap).out(0x10, 0).sti().hlt().raw({0xeb, 0xfd}).at(guest, kCode);
    Asm().push_all().eoi().out(0x11, 1).pop_all().iretq().at(guest, kHandler);
    guest.gate(0x70, kHandler);
    TinyNode a(guest, host, 1, &transplant);
    a[0].start(a.boot_at(kCode));
    host.next_output();
    transplant.refuse_capture = true;
    ASSERT_EQ(a[0].request_departure(NodeId(1)), Posted::accepted);
    EXPECT_FALSE(host.next_departure().state);
    EXPECT_EQ(a[0].post({InterruptKind::fixed, 0x70}), Posted::closed);
    a[0].start(ResumeStart{});
    ASSERT_EQ(a[0].post({InterruptKind::fixed, 0x70}), Posted::accepted);
    EXPECT_EQ(host.next_output().port, 0x11);
}

TEST_F(DepartureTest, AStateThatCannotBeLoadedIsRefusedAndTheSourceGoesOn) {
    Asm().x2apic(kBootstrap).out(0x10, 0).sti().hlt().raw({0xeb, 0xfd}).at(guest, kCode);
    Asm().push_all().eoi().out(0x11, 1).pop_all().iretq().at(guest, kHandler);
    guest.gate(0x70, kHandler);
    TinyNode a(guest, host, 1, &transplant), b(guest, host, 1, &transplant);
    a[0].start(a.boot_at(kCode));
    host.next_output();
    ASSERT_EQ(a[0].request_departure(NodeId(1)), Posted::accepted);
    auto departure = host.next_departure();
    ASSERT_TRUE(departure.state);
    departure.state->local_apic.pop_back();
    b[0].start(ArrivalStart{*departure.state});
    host.wait_for_install_failure();
    EXPECT_EQ(b[0].post({InterruptKind::fixed, 0x70}), Posted::closed);
    a[0].start(ResumeStart{});
    ASSERT_EQ(a[0].post({InterruptKind::fixed, 0x70}), Posted::accepted);
    EXPECT_EQ(host.next_output().port, 0x11);
}

}  // namespace
}  // namespace vsmp::cpu
