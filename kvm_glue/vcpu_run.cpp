// Running a vCPU and telling why it stopped.
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "kvm_glue/ioctl.hpp"
#include "kvm_glue/vcpu.hpp"

namespace vsmp::kvm {
namespace {

std::string hex(std::uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
    return text;
}

// KVM names no reason in words; the first data words hold the instruction bytes or the exit code.
FailedExit internal_error(const kvm_run& run) {
    std::string text = "KVM internal error, suberror " + std::to_string(run.internal.suberror);
    for (std::uint32_t i = 0; i < run.internal.ndata && i < 16; ++i)
        text += " " + hex(run.internal.data[i]);
    return {std::move(text)};
}

}  // namespace

Vcpu::Vcpu(UniqueFd fd, Mapping run_mapping, std::size_t xsave_size)
    : fd_(std::move(fd)), run_(std::move(run_mapping)), xsave_size_(xsave_size) {}

kvm_run& Vcpu::run_page() const {
    return *reinterpret_cast<kvm_run*>(run_.data());
}

Exit Vcpu::run() {
    if (::ioctl(fd_.get(), KVM_RUN, 0) == 0) return decode_exit();
    if (errno == EINTR) return InterruptedExit{};
    Error error = Error::from_errno("KVM_RUN");
    return FailedExit{std::move(error.message)};
}

Exit Vcpu::complete_io() {
    __atomic_store_n(immediate_exit(), std::uint8_t{1}, __ATOMIC_RELAXED);
    Exit exit = run();
    // A kick in between is not lost: whoever kicked wrote its cause down before, and the caller
    // looks for causes before it runs the guest again.
    clear_immediate_exit();
    return exit;
}

void Vcpu::clear_immediate_exit() {
    // An exchange, as that is a full fence too.
    __atomic_exchange_n(immediate_exit(), std::uint8_t{0}, __ATOMIC_SEQ_CST);
}

void Vcpu::complete_rdmsr(MsrAnswer answer, std::uint64_t value) {
    run_page().msr.error = answer == MsrAnswer::done ? 0 : 1;
    run_page().msr.data = value;
}

void Vcpu::complete_wrmsr(MsrAnswer answer) {
    run_page().msr.error = answer == MsrAnswer::done ? 0 : 1;
}

void Vcpu::request_interrupt_window(Window window) {
    run_page().request_interrupt_window = window == Window::wanted ? 1 : 0;
}

Exit Vcpu::decode_exit() const {
    kvm_run& run = run_page();
    switch (run.exit_reason) {
        case KVM_EXIT_IO: {
            const std::size_t bytes = std::size_t{run.io.size} * run.io.count;
            return IoExit{run.io.direction == KVM_EXIT_IO_IN ? Direction::in : Direction::out,
                          run.io.port, run.io.size, run.io.count,
                          run_.bytes().subspan(run.io.data_offset, bytes)};
        }
        case KVM_EXIT_MMIO:
            return MmioExit{run.mmio.is_write ? Access::write : Access::read,
                            Gpa(run.mmio.phys_addr),
                            std::as_writable_bytes(std::span(run.mmio.data)).first(run.mmio.len)};
        case KVM_EXIT_X86_RDMSR:
            return RdMsrExit{run.msr.index};
        case KVM_EXIT_X86_WRMSR:
            return WrMsrExit{run.msr.index, run.msr.data};
        case KVM_EXIT_HLT:
            return HltExit{};
        case KVM_EXIT_IRQ_WINDOW_OPEN:
            return IrqWindowOpenExit{};
        case KVM_EXIT_SET_TPR:
            return SetTprExit{};
        case KVM_EXIT_INTR:
            return InterruptedExit{};
        case KVM_EXIT_SHUTDOWN:
            return ShutdownExit{};
        case KVM_EXIT_FAIL_ENTRY:
            return FailedExit{"the processor refused to enter the guest, reason " +
                              hex(run.fail_entry.hardware_entry_failure_reason)};
        case KVM_EXIT_INTERNAL_ERROR:
            return internal_error(run);
    }
    // exit_reason is the kernel's and open-ended; these are all we enabled.
    return FailedExit{"unexpected KVM exit reason " + std::to_string(run.exit_reason)};
}

Result<void> Vcpu::interrupt(std::uint8_t vector) {
    kvm_interrupt request{.irq = vector};
    VSMP_TRY(control(fd_.get(), KVM_INTERRUPT, "KVM_INTERRUPT", &request));
    // Until the next exit another one would overwrite this.
    run_page().ready_for_interrupt_injection = 0;
    return {};
}

Result<void> Vcpu::nmi() {
    VSMP_TRY(control(fd_.get(), KVM_NMI, "KVM_NMI", 0));
    return {};
}

}  // namespace vsmp::kvm
