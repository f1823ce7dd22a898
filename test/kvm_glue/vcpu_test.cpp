#include "kvm_glue/vcpu.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "proto/monotonic_clock.hpp"
#include "test/kvm_glue/tiny_guest.hpp"

namespace vsmp::kvm {
namespace {

using test::Ring;
using test::TinyGuest;
using test::TinyVm;

template <class T>
T expect(Exit exit) {
    if (const auto* failed = std::get_if<FailedExit>(&exit)) ADD_FAILURE() << failed->text;
    if (!std::holds_alternative<T>(exit)) {
        ADD_FAILURE() << "unexpected exit, alternative " << exit.index();
        return {};
    }
    return std::get<T>(exit);
}

TEST(Vcpu, PortIo) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // mov al,0x5a; out 0x10,al; in al,0x11; mov [0x800000],al; hlt
    tiny.guest.code(TinyGuest::kCode, {0xb0, 0x5a, 0xe6, 0x10, 0xe4, 0x11, 0x88, 0x04, 0x25, 0x00,
                                       0x00, 0x80, 0x00, 0xf4});
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    const auto out = expect<IoExit>(vcpu.run());
    EXPECT_EQ(out.direction, Direction::out);
    EXPECT_EQ(out.port, 0x10);
    ASSERT_EQ(out.data.size(), 1u);
    EXPECT_EQ(out.data[0], std::byte{0x5a});
    const auto in = expect<IoExit>(vcpu.run());
    EXPECT_EQ(in.direction, Direction::in);
    EXPECT_EQ(in.port, 0x11);
    ASSERT_EQ(in.data.size(), 1u);
    in.data[0] = std::byte{0xc3};
    expect<HltExit>(vcpu.run());
    EXPECT_EQ(tiny.guest.load64(TinyGuest::kData), 0xc3u);
}

TEST(Vcpu, CompleteIoFinishesTheInstructionAndNoMore) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    tiny.guest.code(TinyGuest::kCode, {0xe4, 0x11, 0xb0, 0x01, 0xf4});  // in al,0x11; mov al,1; hlt
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    const auto in = expect<IoExit>(vcpu.run());
    ASSERT_EQ(in.data.size(), 1u);
    in.data[0] = std::byte{0xc3};
    expect<InterruptedExit>(vcpu.complete_io());
    const kvm_regs regs = *vcpu.regs();
    EXPECT_EQ(regs.rip, TinyGuest::kCode + 2);
    EXPECT_EQ(regs.rax & 0xff, 0xc3u);
    expect<HltExit>(vcpu.run());
    EXPECT_EQ(vcpu.regs()->rax & 0xff, 1u);
}

TEST(Vcpu, Mmio) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // mov rdi,0x3000000; mov dword [rdi],0x11223344; mov eax,[rdi+4]; hlt. No slot is there.
    tiny.guest.code(TinyGuest::kCode, {0x48, 0xc7, 0xc7, 0x00, 0x00, 0x00, 0x03, 0xc7, 0x07, 0x44,
                                       0x33, 0x22, 0x11, 0x8b, 0x47, 0x04, 0xf4});
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    const auto write = expect<MmioExit>(vcpu.run());
    EXPECT_EQ(write.access, Access::write);
    EXPECT_EQ(write.gpa, Gpa(0x3000000));
    ASSERT_EQ(write.data.size(), 4u);
    EXPECT_EQ(write.data[3], std::byte{0x11});
    const auto read = expect<MmioExit>(vcpu.run());
    EXPECT_EQ(read.access, Access::read);
    EXPECT_EQ(read.gpa, Gpa(0x3000004));
    ASSERT_EQ(read.data.size(), 4u);
    std::memset(read.data.data(), 0x77, 4);
    expect<HltExit>(vcpu.run());
    EXPECT_EQ(vcpu.regs()->rax, 0x77777777u);
}

TEST(Vcpu, X2apicMsrsComeToUs) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // mov ecx,0x830; mov eax,0xfd; mov edx,1; wrmsr; mov ecx,0x802; rdmsr; hlt
    tiny.guest.code(TinyGuest::kCode,
                    {0xb9, 0x30, 0x08, 0,    0,    0xb8, 0xfd, 0, 0, 0,    0xba, 1,   0,
                     0,    0,    0x0f, 0x30, 0xb9, 0x02, 0x08, 0, 0, 0x0f, 0x32, 0xf4});
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    const auto icr = expect<WrMsrExit>(vcpu.run());
    EXPECT_EQ(icr.index, 0x830u);
    EXPECT_EQ(icr.value, 0x1000000fdu);
    vcpu.complete_wrmsr(MsrAnswer::done);
    EXPECT_EQ(expect<RdMsrExit>(vcpu.run()).index, 0x802u);
    vcpu.complete_rdmsr(MsrAnswer::done, 0x123456789abcdef0);
    expect<HltExit>(vcpu.run());
    EXPECT_EQ(vcpu.regs()->rax, 0x9abcdef0u);
    EXPECT_EQ(vcpu.regs()->rdx, 0x12345678u);
}

// Reads always come to us, writes where the probe says so.
TEST(Vcpu, DeadlineMsr) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // mov ecx,0x6e0; mov eax,5; mov edx,1; wrmsr; rdmsr; hlt
    tiny.guest.code(TinyGuest::kCode, {0xb9, 0xe0, 0x06, 0, 0, 0xb8, 5,    0,    0,    0,
                                       0xba, 1,    0,    0, 0, 0x0f, 0x30, 0x0f, 0x32, 0xf4});
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    const auto writes = find_deadline_writes(tiny.kvm);
    ASSERT_TRUE(writes) << writes.error().message;
    if (*writes == DeadlineWrites::ours) {
        const auto write = expect<WrMsrExit>(vcpu.run());
        EXPECT_EQ(write.index, 0x6e0u);
        EXPECT_EQ(write.value, 0x100000005u);
        vcpu.complete_wrmsr(MsrAnswer::done);
    }
    EXPECT_EQ(expect<RdMsrExit>(vcpu.run()).index, 0x6e0u);
    vcpu.complete_rdmsr(MsrAnswer::done, 0);
    expect<HltExit>(vcpu.run());
}

TEST(Vcpu, RefusedMsrRaisesGeneralProtection) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // mov ecx,0x12345; rdmsr; hlt, and #GP goes to: mov al,0x0d; out 0x10,al
    tiny.guest.code(TinyGuest::kCode, {0xb9, 0x45, 0x23, 0x01, 0, 0x0f, 0x32, 0xf4});
    tiny.guest.code(0x11000, {0xb0, 0x0d, 0xe6, 0x10});
    tiny.guest.gate(13, 0x11000);
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    EXPECT_EQ(expect<RdMsrExit>(vcpu.run()).index, 0x12345u);
    vcpu.complete_rdmsr(MsrAnswer::general_protection, 0);
    EXPECT_EQ(expect<IoExit>(vcpu.run()).port, 0x10);
}

TEST(Vcpu, InterruptThroughItsWindow) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    // in al,0x11; sti; nop; L: jmp L  -- interrupts are off at first
    tiny.guest.code(TinyGuest::kCode, {0xe4, 0x11, 0xfb, 0x90, 0xeb, 0xfe});
    tiny.guest.code(0x11000, {0xe6, 0x40, 0x48, 0xcf});  // out 0x40,al; iretq
    tiny.guest.gate(0x40, 0x11000);
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    expect<IoExit>(vcpu.run());
    EXPECT_FALSE(vcpu.ready_for_interrupt());
    EXPECT_FALSE(vcpu.interrupt_flag());
    vcpu.request_interrupt_window(Vcpu::Window::wanted);
    expect<IrqWindowOpenExit>(vcpu.run());
    EXPECT_TRUE(vcpu.ready_for_interrupt());
    EXPECT_TRUE(vcpu.interrupt_flag());
    vcpu.request_interrupt_window(Vcpu::Window::not_wanted);
    ASSERT_TRUE(vcpu.interrupt(0x40));
    EXPECT_FALSE(vcpu.ready_for_interrupt());
    EXPECT_EQ(expect<IoExit>(vcpu.run()).port, 0x40);
}

TEST(Vcpu, StateReadsBackAsWritten) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    kvm_msr_entry msrs[] = {{0xc0000082, 0, 0x1234567000}, {0xc0000102, 0, 0x2345678000}};
    ASSERT_TRUE(vcpu.set_msrs(msrs));
    kvm_msr_entry read[] = {{0xc0000082, 0, 0}, {0xc0000102, 0, 0}};
    ASSERT_TRUE(vcpu.msrs(read));
    EXPECT_EQ(read[0].data, 0x1234567000u);
    EXPECT_EQ(read[1].data, 0x2345678000u);
    kvm_msr_entry unknown[] = {{0x12345, 0, 0}};
    const auto refused = vcpu.msrs(unknown);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("0x12345"), std::string::npos);

    std::vector<std::byte> area(vcpu.xsave_size());
    ASSERT_TRUE(vcpu.xsave(area));
    area[160] = std::byte{0x5a};  // XMM0
    area[512] |= std::byte{3};    // XSTATE_BV: x87 and SSE are live
    ASSERT_TRUE(vcpu.set_xsave(area));
    std::vector<std::byte> again(vcpu.xsave_size());
    ASSERT_TRUE(vcpu.xsave(again));
    EXPECT_EQ(again[160], std::byte{0x5a});

    EXPECT_TRUE(vcpu.set_xcrs(*vcpu.xcrs()));
    EXPECT_TRUE(vcpu.set_events(*vcpu.events()));
    EXPECT_TRUE(vcpu.set_debugregs(*vcpu.debugregs()));
    EXPECT_TRUE(vcpu.set_mp_state(*vcpu.mp_state()));
    EXPECT_GT(*vcpu.tsc_khz(), 0u);
    EXPECT_TRUE(vcpu.set_tsc_khz(*vcpu.tsc_khz()));
}

// What the guest reads is what was set, or the setting was refused.
TEST(Vcpu, TscOffset) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    tiny.guest.code(TinyGuest::kCode, {0x0f, 0x31, 0xf4});  // rdtsc; hlt
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    const std::uint64_t offset = std::uint64_t{1} << 60;
    if (!vcpu.set_tsc_offset(offset)) {
        EXPECT_TRUE(vcpu.set_tsc_offset(*vcpu.tsc_offset()));
    }
    const std::uint64_t before = __builtin_ia32_rdtsc() + *vcpu.tsc_offset();
    expect<HltExit>(vcpu.run());
    const std::uint64_t after = __builtin_ia32_rdtsc() + *vcpu.tsc_offset();
    const kvm_regs regs = *vcpu.regs();
    const std::uint64_t seen = regs.rdx << 32 | (regs.rax & 0xffffffff);
    EXPECT_GE(seen, before);
    EXPECT_LE(seen, after);
}

TEST(Kvm, ListsCpuidAndMsrs) {
    VSMP_NEEDS_KVM();
    const Kvm kvm = *Kvm::open();
    const auto leaves = kvm.supported_cpuid();
    ASSERT_TRUE(leaves);
    EXPECT_GT(leaves->size(), 10u);
    EXPECT_EQ(leaves->front().function, 0u);
    const auto msrs = kvm.msr_indices();
    ASSERT_TRUE(msrs);
    EXPECT_NE(std::find(msrs->begin(), msrs->end(), 0xc0000082u), msrs->end());
}

TEST(Kick, LeavesAnEndlessLoopAndIsNotLostBefore) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    tiny.guest.code(TinyGuest::kCode,
                    {0xfb, 0xe6, 0x10, 0xeb, 0xfe});  // sti; out 0x10,al; L: jmp L
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode, Ring::kernel);
    expect<IoExit>(vcpu.run());
    vcpu.clear_immediate_exit();
    // From itself: the signal is handled before run() and must still stop it.
    ASSERT_TRUE(kick(::pthread_self(), vcpu.immediate_exit()));
    expect<InterruptedExit>(vcpu.run());
    vcpu.clear_immediate_exit();
    const pthread_t self = ::pthread_self();
    std::thread other([&] { EXPECT_TRUE(kick(self, vcpu.immediate_exit())); });
    expect<InterruptedExit>(vcpu.run());
    other.join();
}

TEST(Kick, ByATimer) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    tiny.guest.code(TinyGuest::kCode, {0xfb, 0xeb, 0xfe});  // sti; L: jmp L
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode);
    auto timer = KickTimer::create_for_this_thread(vcpu.immediate_exit());
    ASSERT_TRUE(timer);
    const Instant due = monotonic_now() + std::chrono::milliseconds(5);
    ASSERT_TRUE(timer->arm(due));
    expect<InterruptedExit>(vcpu.run());
    EXPECT_GE(monotonic_now(), due);
#ifndef __SANITIZE_THREAD__  // it runs signal handlers late
    // A moment that has passed kicks at once.
    vcpu.clear_immediate_exit();
    ASSERT_TRUE(timer->arm(Instant{}));
    expect<InterruptedExit>(vcpu.run());
#endif
    EXPECT_TRUE(timer->disarm());
}

// The vCPU sleeps in the kernel for a page that nobody brings; a kick gets it out, and its
// instruction has not happened.
TEST(Kick, LeavesAUserfault) {
    VSMP_NEEDS_KVM();
    TinyVm tiny;
    tiny.guest.code(TinyGuest::kCode, {0x48, 0x8b, 0x07, 0xf4});  // mov rax,[rdi]; hlt
    Vcpu vcpu = tiny.vcpu(VcpuId(0), TinyGuest::kCode, Ring::user);
    kvm_regs regs = *vcpu.regs();
    regs.rdi = TinyGuest::kData;
    ASSERT_TRUE(vcpu.set_regs(regs));

    const UniqueFd faults(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
    ASSERT_TRUE(faults);
    uffdio_api api{};
    api.api = UFFD_API;
    ASSERT_EQ(::ioctl(faults.get(), UFFDIO_API, &api), 0);
    uffdio_register area{};
    area.range = {reinterpret_cast<std::uint64_t>(tiny.guest.at(TinyGuest::kData)), kPageSize};
    area.mode = UFFDIO_REGISTER_MODE_MISSING;
    ASSERT_EQ(::ioctl(faults.get(), UFFDIO_REGISTER, &area), 0);

    const pthread_t self = ::pthread_self();
    std::thread broker([&] {
        uffd_msg message{};
        // Returns once the vCPU waits, so the kick meets it there.
        EXPECT_EQ(::read(faults.get(), &message, sizeof message), ssize_t{sizeof message});
        EXPECT_EQ(message.arg.pagefault.address & ~std::uint64_t{0xfff}, area.range.start);
        EXPECT_TRUE(kick(self, vcpu.immediate_exit()));
    });
    expect<InterruptedExit>(vcpu.run());
    broker.join();
    EXPECT_EQ(vcpu.regs()->rip, TinyGuest::kCode);
}

}  // namespace
}  // namespace vsmp::kvm
