// Tiny guests through the runner.
#include "vmm/cpu/vcpu_runner.hpp"

#include <algorithm>
#include <utility>

#include "test/vmm/cpu/fake_host.hpp"

namespace vsmp::cpu {
namespace {

using test::Asm;
using test::TinyGuest;

constexpr std::uint64_t kCode = TinyGuest::kCode;
constexpr std::uint64_t kHandler = 0x11000;
constexpr std::uint32_t kBootstrap = 0x100;

struct RunnerTest : ::testing::Test {
    void SetUp() override { VSMP_NEEDS_KVM(); }
    TinyGuest guest;
};

TEST_F(RunnerTest, PortsAndMmioReachTheHost) {
    FakeHost host(1);
    Asm()
        .in_eax(0x21)
        .out_eax(0x22)
        .store32(0xd0001234, 77)
        .load32(0xd0000000)
        .out_eax(0x23)
        .hlt()
        .at(guest, kCode);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x22, 0x21212121}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x1234, 77}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x23, 0xd0d0d0d0}));
    EXPECT_GE(node[0].exits(), 4u);
}

TEST_F(RunnerTest, MsrsAreOursHarmlessOrRefused) {
    FakeHost host(1);
    Asm()
        .x2apic(kBootstrap)
        .rdmsr(0x803)
        .out_eax(0x10)
        .rdmsr(0x1a2)
        .out_eax(0x11)
        .rdmsr(0x12345)
        .hlt()
        .at(guest, kCode);
    Asm().out(0x0d, 13).hlt().at(guest, kHandler);
    guest.gate(13, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x10, 0x50014}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x11, 0}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x0d, 13}));
    const auto counts = node[0].ignored_msrs();
    ASSERT_EQ(counts.size(), 2u);
    EXPECT_EQ(counts[0].answer, kvm::MsrAnswer::done);
    EXPECT_EQ(counts[1].index, 0x12345u);
    EXPECT_EQ(counts[1].answer, kvm::MsrAnswer::general_protection);
}

TEST_F(RunnerTest, XapicRegistersAreMemoryMapped) {
    FakeHost host(1);
    Asm()
        .load32(0xfee00030)
        .out_eax(0x10)
        .store32(0xfee000d0, 0x5a000000)
        .load32(0xfee000d0)
        .out_eax(0x11)
        .hlt()
        .at(guest, kCode);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x10, 0x50014}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x11, 0x5a000000}));
}

TEST_F(RunnerTest, TheDeadlineTimerWakesAHaltedVcpu) {
    VSMP_NEEDS_DEADLINE_TIMERS();
    FakeHost host(1);
    Asm()
        .x2apic(kBootstrap)
        .wrmsr(0x832, 0x40040)
        .rdtsc()
        .raw({0x05, 0x40, 0x42, 0x0f, 0x00, 0x83, 0xd2, 0x00})  // add eax,1000000; adc edx,0
        .mov_ecx(0x6e0)
        .raw({0x0f, 0x30})
        .sti()
        .hlt()
        .out(0x11, 2)
        .hlt()
        .at(guest, kCode);
    Asm().out(0x10, 1).eoi().iretq().at(guest, kHandler);
    guest.gate(0x40, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x10, 1}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x11, 2}));
}

TEST_F(RunnerTest, TheOneShotTimerWakesAHaltedVcpu) {
    FakeHost host(1);
    Asm()
        .x2apic(kBootstrap)
        .wrmsr(0x83e, 0xb)  // divide by 1
        .wrmsr(0x832, 0x40)
        .wrmsr(0x838, 1'000'000)
        .sti()
        .hlt()
        .out(0x11, 2)
        .hlt()
        .at(guest, kCode);
    Asm().out(0x10, 1).eoi().iretq().at(guest, kHandler);
    guest.gate(0x40, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x10, 1}));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x11, 2}));
}

TEST_F(RunnerTest, ThePeriodicTimerInterruptsARunningVcpu) {
    FakeHost host(1);
    // Divide by 1, periodic, vector 0x41, every million ticks; then spin.
    Asm()
        .x2apic(kBootstrap)
        .wrmsr(0x83e, 0xb)
        .wrmsr(0x832, 0x20041)
        .wrmsr(0x838, 1'000'000)
        .sti()
        .jmp_self()
        .at(guest, kCode);
    Asm().push_all().out(0x10, 1).eoi().pop_all().iretq().at(guest, kHandler);
    guest.gate(0x41, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x10, 1}));
}

TEST_F(RunnerTest, InitAndSipiStartAVcpu) {
    FakeHost host(2);
    Asm()
        .x2apic(kBootstrap)
        .wrmsr(0x830, 0x1'0000'4500)
        .wrmsr(0x830, 0x1'0000'4612)
        .hlt()
        .at(guest, kCode);
    // Real mode at 0x12000: mov al,0x33; out 0x10,al; L: hlt; jmp L
    guest.code(0x12000, {0xb0, 0x33, 0xe6, 0x10, 0xf4, 0xeb, 0xfd});
    TinyNode node(guest, host, 2);
    host.attach(VcpuId(0), node[0]);
    host.attach(VcpuId(1), node[1]);
    node[1].start(WaitForSipiStart{});
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(1), 0x10, 0x33}));
}

TEST_F(RunnerTest, IpiBetweenTwoVcpus) {
    FakeHost host(2);
    // vCPU 1 waits for 0x55 and tells; vCPU 0 sends it on each 0x56, which the test raises.
    Asm().x2apic(0).out(0x10, 1).sti().hlt().jmp_self().at(guest, 0x14000);
    Asm().push_all().out(0x11, 0x55).eoi().pop_all().iretq().at(guest, kHandler);
    guest.gate(0x55, kHandler);
    Asm().x2apic(kBootstrap).out(0x10, 0).sti().jmp_self().at(guest, kCode);
    Asm().push_all().eoi().wrmsr(0x830, 0x1'0000'4055).pop_all().iretq().at(guest, 0x13000);
    guest.gate(0x56, 0x13000);
    TinyNode node(guest, host, 2);
    host.attach(VcpuId(0), node[0]);
    host.attach(VcpuId(1), node[1]);
    BootStart other = node.boot_at(0x14000);
    other.sregs.apic_base = 0xfee00800;
    other.regs.rsp -= 0x400;
    node[1].start(other);
    EXPECT_EQ(host.next_output(), (Output{VcpuId(1), 0x10, 1}));
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output(), (Output{VcpuId(0), 0x10, 0}));
    for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(node[0].post({InterruptKind::fixed, 0x56}), Posted::accepted);
        ASSERT_EQ(host.next_output(), (Output{VcpuId(1), 0x11, 0x55})) << i;
    }
}

TEST_F(RunnerTest, NmiWakesAVcpuThatHaltedWithInterruptsOff) {
    FakeHost host(1);
    Asm().cli().hlt().raw({0xeb, 0xfd}).at(guest, kCode);  // L: hlt; jmp L
    Asm().push_all().out(0x12, 3).pop_all().iretq().at(guest, kHandler);
    guest.gate(2, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(node[0].post({InterruptKind::nmi}), Posted::accepted);
        ASSERT_EQ(host.next_output().port, 0x12);
    }
}

TEST_F(RunnerTest, TaskPriorityHoldsInterruptsBack) {
    FakeHost host(1);
    // CR8 = 5 keeps 0x50 out until it is lowered; the guest tells in between.
    Asm()
        .x2apic(kBootstrap)
        .raw({0x6a, 0x05, 0x58, 0x44, 0x0f, 0x22, 0xc0})  // push 5; pop rax; mov cr8,rax
        .sti()
        .wrmsr(0x83f, 0x50)
        .out(0x10, 1)
        .raw({0x31, 0xc0, 0x44, 0x0f, 0x22, 0xc0})  // xor eax,eax; mov cr8,rax
        .hlt()
        .at(guest, kCode);
    Asm().push_all().out(0x11, 2).eoi().pop_all().iretq().at(guest, kHandler);
    guest.gate(0x50, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output().port, 0x10);
    EXPECT_EQ(host.next_output().port, 0x11);
}

// Once the guest is ready, posts the vector of the next higher priority class each time the runner
// reads the clock, which it does before it looks for an interrupt to hand to KVM. The guest runs
// only when there is none left to post.
class RisingHost final : public FakeHost {
  public:
    static constexpr std::uint16_t kReadyPort = 0x10;
    static constexpr std::uint32_t kFirst = 0x20, kStep = 0x10, kEnd = 0x100;

    RisingHost() : FakeHost(1) {}
    void aim_at(VcpuRunner& runner) { runner_ = &runner; }

    AfterIo pio_out(VcpuId id, std::uint16_t port, ByteView data, const kvm::Vcpu& vcpu) override {
        if (port == kReadyPort) ready_ = true;
        return FakeHost::pio_out(id, port, data, vcpu);
    }
    GuestTsc guest_tsc() override {
        if (ready_ && next_ < kEnd) {
            const auto vector = static_cast<std::uint8_t>(std::exchange(next_, next_ + kStep));
            EXPECT_EQ(runner_->post({InterruptKind::fixed, vector}), Posted::accepted);
        }
        return FakeHost::guest_tsc();
    }

  private:
    VcpuRunner* runner_ = nullptr;
    // Of the runner's thread.
    bool ready_ = false;
    std::uint32_t next_ = kFirst;
};

// KVM_INTERRUPT replaces an interrupt that was handed over and is not yet taken: one that is posted
// between the two has to wait, whatever its priority.
TEST_F(RunnerTest, AHigherInterruptDoesNotReplaceOneHandedOver) {
    RisingHost host;
    Asm().x2apic(kBootstrap).sti().out(RisingHost::kReadyPort, 0).jmp_self().at(guest, kCode);
    std::vector<std::uint32_t> expected{RisingHost::kFirst};
    for (std::uint32_t vector = RisingHost::kFirst; vector < RisingHost::kEnd;
         vector += RisingHost::kStep) {
        const std::uint64_t handler = kHandler + std::uint64_t{vector} * 8;
        Asm().push_all().out(0x11, vector).eoi().pop_all().iretq().at(guest, handler);
        guest.gate(static_cast<std::uint8_t>(vector), handler);
        if (vector != RisingHost::kFirst) expected.insert(expected.begin() + 1, vector);
    }
    TinyNode node(guest, host, 1);
    host.aim_at(node[0]);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output().port, RisingHost::kReadyPort);
    std::vector<std::uint32_t> seen;
    while (seen.size() < expected.size() && !HasFailure()) seen.push_back(host.next_output().value);
    EXPECT_EQ(seen, expected) << "the first was handed over before the others came";
}

TEST_F(RunnerTest, LevelTriggeredEoiIsToldToTheHost) {
    FakeHost host(1);
    Asm().x2apic(kBootstrap).out(0x10, 1).sti().hlt().jmp_self().at(guest, kCode);
    Asm().push_all().eoi().out(0x11, 2).pop_all().iretq().at(guest, kHandler);
    guest.gate(0x60, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    host.next_output();
    ASSERT_EQ(node[0].post({InterruptKind::fixed, 0x60, Trigger::level}), Posted::accepted);
    EXPECT_EQ(host.next_output().port, 0x11);
    EXPECT_EQ(host.eois(), std::vector<std::uint8_t>{0x60});
}

TEST_F(RunnerTest, TripleFaultIsAShutdown) {
    FakeHost host(1);
    Asm().raw({0x0f, 0x0b}).at(guest, kCode);  // #UD without any gate
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    host.wait_for_shutdown();
}

TEST_F(RunnerTest, AVcpuThatWasEndedStaysEnded) {
    FakeHost host(1);
    Asm().out(FakeHost::kEndPort, 0).out(0x10, 1).at(guest, kCode);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    EXPECT_EQ(host.next_output().port, FakeHost::kEndPort);
    // Still answers an order to leave, with no.
    ASSERT_EQ(node[0].request_departure(NodeId(1)), Posted::accepted);
    EXPECT_FALSE(host.next_departure().state);
    EXPECT_EQ(node[0].post({InterruptKind::nmi}), Posted::closed);
}

// Whichever way the threads run: what was slept in HLT is idle time, and it stays counted.
TEST_F(RunnerTest, HaltedTimeIsIdleTime) {
    FakeHost host(1);
    // One shot of the timer, ten million ticks, divided by 1; then tell and halt.
    Asm()
        .x2apic(kBootstrap)
        .wrmsr(0x83e, 0xb)
        .wrmsr(0x832, 0x40)
        .wrmsr(0x838, 10'000'000)
        .sti()
        .hlt()
        .out(0x11, 2)
        .jmp_self()
        .at(guest, kCode);
    Asm().push_all().eoi().pop_all().iretq().at(guest, kHandler);
    guest.gate(0x40, kHandler);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    const Duration before = node[0].idle_time();
    EXPECT_EQ(host.next_output().port, 0x11);
    const Duration after = node[0].idle_time();
    EXPECT_GT(after - before, Duration::zero());
    EXPECT_EQ(node[0].idle_time(), after) << "it runs, and its idle time does not grow";
}

TEST_F(RunnerTest, AnEndlessLoopWithInterruptsOffCanBeStopped) {
    FakeHost host(1);
    Asm().out(0x10, 1).cli().jmp_self().at(guest, kCode);
    TinyNode node(guest, host, 1);
    node[0].start(node.boot_at(kCode));
    host.next_output();
    node[0].stop();
}

}  // namespace
}  // namespace vsmp::cpu
