#include "test/micro/micro_machine.hpp"

#include <pthread.h>

#include <algorithm>
#include <bitset>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "kvm_glue/kick.hpp"
#include "kvm_glue/kvm.hpp"
#include "kvm_glue/segment.hpp"
#include "vmm/boot/micro.hpp"

namespace vsmp::test {
namespace {

using kvm::to_kvm;

constexpr std::chrono::seconds kPatience{30};
constexpr std::uint32_t kInterruptCommand = 0x830;

Result<void> set_state(kvm::Vcpu& vcpu, const boot::BootState& state) {
    kvm_sregs sregs{};
    sregs.cs = to_kvm(state.cs);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = to_kvm(state.ds);
    sregs.ss = to_kvm(state.ss);
    sregs.tr = to_kvm(state.tr);
    sregs.ldt = to_kvm(state.ldt);
    sregs.gdt = to_kvm(state.gdt);
    sregs.idt = to_kvm(state.idt);
    sregs.cr0 = state.cr0;
    sregs.cr3 = state.cr3;
    sregs.cr4 = state.cr4;
    sregs.efer = state.efer;
    sregs.apic_base = state.apic_base;
    VSMP_TRY(vcpu.set_sregs(sregs));
    kvm_regs regs{};
    regs.rip = state.rip;
    regs.rsp = state.rsp;
    regs.rflags = state.rflags;
    regs.rcx = state.rcx;
    regs.rdx = state.rdx;
    regs.rsi = state.rsi;
    regs.rdi = state.rdi;
    VSMP_TRY(vcpu.set_regs(regs));
    if ((state.xcr0 & ~1ull) == 0) return {};
    kvm_xcrs xcrs{};
    xcrs.nr_xcrs = 1;
    xcrs.xcrs[0].value = state.xcr0;
    return vcpu.set_xcrs(xcrs);
}

class Machine {
  public:
    Machine(std::size_t vcpus, std::span<std::byte> memory, MicroRun::Interlude interlude)
        : memory_(memory), interlude_(std::move(interlude)), seats_(vcpus) {}

    Result<void> add_vcpu(kvm::Vcpu vcpu, std::size_t index, const boot::BootState& state) {
        VSMP_TRY(set_state(vcpu, state));
        seats_[index].vcpu.emplace(std::move(vcpu));
        return {};
    }

    Result<std::vector<MicroOutcome>> run() {
        for (Seat& seat : seats_) {
            std::lock_guard lock(mutex_);
            seat.thread = std::thread{[this, &seat] { run_vcpu(seat); }};
        }
        const bool ended = wait_for_end();
        stop();
        for (Seat& seat : seats_) seat.thread.join();
        if (!ended) return Error{"the micro-guest has not finished in time"};
        std::vector<MicroOutcome> outcomes;
        for (Seat& seat : seats_) outcomes.push_back(std::move(seat.outcome));
        return outcomes;
    }

  private:
    struct Seat {
        std::optional<kvm::Vcpu> vcpu;
        std::thread thread;
        MicroOutcome outcome;        // of the thread, until it is joined
        std::bitset<256> requested;  // under mutex_
        bool ended = false;          // under mutex_; nobody kicks it any more
    };
    enum class Go : std::uint8_t { on, end };

    bool wait_for_end() {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        const auto pace =
            interlude_ ? std::chrono::milliseconds(1) : std::chrono::milliseconds(kPatience);
        std::unique_lock lock(mutex_);
        for (;;) {
            if (changed_.wait_for(lock, pace,
                                  [this] { return failed_ || finished_ == seats_.size(); }))
                return true;
            if (std::chrono::steady_clock::now() >= deadline) return false;
            for (Seat& seat : seats_) kick(seat);
        }
    }

    void stop() {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        for (Seat& seat : seats_) kick(seat);
    }

    // Under mutex_, so the thread exists.
    void kick(Seat& seat) {
        if (seat.ended) return;
        const auto kicked = kvm::kick(seat.thread.native_handle(), seat.vcpu->immediate_exit());
        VSMP_CHECK(kicked, "a running thread can be kicked");
    }

    void run_vcpu(Seat& seat) {
        while (step(seat) == Go::on) continue;
        std::lock_guard lock(mutex_);
        seat.ended = true;
        ++finished_;
        failed_ |= seat.outcome.status != 0;
        changed_.notify_all();
    }

    Go step(Seat& seat) {
        seat.vcpu->clear_immediate_exit();
        {
            std::lock_guard lock(mutex_);
            if (stopping_) return Go::end;
            deliver_interrupt(seat);
        }
        const kvm::Exit exit = seat.vcpu->run();
        return std::visit([&](const auto& e) { return handle(seat, e); }, exit);
    }

    // Under mutex_.
    void deliver_interrupt(Seat& seat) {
        using Window = kvm::Vcpu::Window;
        if (seat.requested.any() && seat.vcpu->ready_for_interrupt()) {
            std::size_t vector = 255;
            while (!seat.requested[vector]) --vector;
            const auto sent = seat.vcpu->interrupt(static_cast<std::uint8_t>(vector));
            VSMP_CHECK(sent, "KVM_INTERRUPT when ready");
            seat.requested.reset(vector);
        }
        seat.vcpu->request_interrupt_window(seat.requested.any() ? Window::wanted
                                                                 : Window::not_wanted);
    }

    Go handle(Seat& seat, const kvm::IoExit& io) {
        const auto regs = seat.vcpu->regs();
        VSMP_CHECK(regs, "registers can be read");
        const auto code = ByteReader{io.data}.read<std::uint32_t>();
        if (io.port == boot::kReportPort) {
            seat.outcome.reports.push_back({code, regs->rbx});
            return Go::on;
        }
        if (io.port != boot::kFinishPort) return trouble(seat, "I/O to an unknown port");
        seat.outcome.status = code;
        seat.outcome.value = regs->rbx;
        return Go::end;
    }

    Go handle(Seat& seat, const kvm::WrMsrExit& msr) {
        seat.vcpu->complete_wrmsr(kvm::MsrAnswer::done);
        if (msr.index != kInterruptCommand) return Go::on;  // EOI, SVR: nothing to keep
        const std::uint64_t target = msr.value >> 32;
        if (target >= seats_.size()) return trouble(seat, "interrupt to an unknown vCPU");
        std::lock_guard lock(mutex_);
        seats_[target].requested.set(msr.value & 0xff);
        kick(seats_[target]);
        return Go::on;
    }

    Go handle(Seat& seat, const kvm::InterruptedExit&) {
        if (interlude_) interlude_(*seat.vcpu, memory_);
        return Go::on;
    }
    Go handle(Seat&, const kvm::IrqWindowOpenExit&) { return Go::on; }
    Go handle(Seat&, const kvm::SetTprExit&) { return Go::on; }
    Go handle(Seat& seat, const kvm::RdMsrExit&) { return trouble(seat, "unexpected RDMSR"); }
    Go handle(Seat& seat, const kvm::HltExit&) { return trouble(seat, "halted"); }
    Go handle(Seat& seat, const kvm::ShutdownExit&) { return trouble(seat, "triple fault"); }
    Go handle(Seat& seat, const kvm::FailedExit& failed) { return trouble(seat, failed.text); }
    Go handle(Seat& seat, const kvm::MmioExit& mmio) {
        return trouble(seat, "access outside RAM, at " + std::to_string(mmio.gpa.value()));
    }

    Go trouble(Seat& seat, std::string what) {
        const auto regs = seat.vcpu->regs();
        seat.outcome.trouble =
            std::move(what) + ", RIP " + (regs ? std::to_string(regs->rip) : "?");
        return Go::end;
    }

    std::span<std::byte> memory_;
    MicroRun::Interlude interlude_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Seat> seats_;
    std::size_t finished_ = 0;
    bool failed_ = false, stopping_ = false;
};

// XCR0 without what no ship carries (AMX and later).
std::uint64_t usable_xcr0(const std::vector<CpuidLeaf>& cpuid) {
    constexpr std::uint64_t kX87SseAvxAvx512 = 0xe7;
    for (const CpuidLeaf& leaf : cpuid)
        if (leaf.function == 0xd && leaf.index == 0) return leaf.eax & kX87SseAvxAvx512;
    return 0;
}

}  // namespace

std::vector<std::uint64_t> MicroOutcome::values(std::uint32_t code) const {
    std::vector<std::uint64_t> found;
    for (const MicroReport& report : reports)
        if (report.code == code) found.push_back(report.value);
    return found;
}

Result<std::vector<MicroOutcome>> run_micro(const MicroRun& what) {
    VSMP_TRY(kvm::install_kick_handler());
    VSMP_TRY_ASSIGN(const MemoryLayout layout, MemoryLayout::create({&what.memory_bytes, 1}));
    VSMP_TRY_ASSIGN(const kvm::Kvm kvm, kvm::Kvm::open());
    VSMP_TRY_ASSIGN(kvm::Vm vm, kvm.create_vm());
    VSMP_TRY_ASSIGN(const auto cpuid, kvm.supported_cpuid());
    VSMP_TRY_ASSIGN(const Mapping memory, Mapping::shared(-1, what.memory_bytes));
    VSMP_TRY_ASSIGN(const boot::BootImage image, boot::load_micro({.program = what.program,
                                                                   .vcpu_count = what.vcpus,
                                                                   .memory = layout,
                                                                   .arguments = what.arguments,
                                                                   .xcr0 = usable_xcr0(cpuid)}));
    for (const boot::GuestWrite& write : image.writes)
        std::memcpy(memory.data() + write.at.value(), write.bytes.data(), write.bytes.size());
    VSMP_TRY(vm.set_memory(kvm::MemorySlot{0}, Gpa{0}, memory.bytes()));
    Machine machine{what.vcpus, memory.bytes(), what.interlude};
    for (std::uint16_t i = 0; i < what.vcpus; ++i) {
        VSMP_TRY_ASSIGN(kvm::Vcpu vcpu, vm.create_vcpu(VcpuId{i}));
        VSMP_TRY(vcpu.set_cpuid(cpuid));
        VSMP_TRY(machine.add_vcpu(std::move(vcpu), i, image.start[i]));
    }
    return machine.run();
}

}  // namespace vsmp::test
