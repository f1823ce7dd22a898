// VcpuRunner's way into the guest and out of it.
#include "proto/monotonic_clock.hpp"
#include "proto/overloaded.hpp"
#include "vmm/cpu/vcpu_runner.hpp"

namespace vsmp::cpu {
namespace {

bool is_apic_page(Gpa gpa) {
    return gpa.value() >= kApicPage.value() && gpa.value() < kApicPage.value() + kPageSize;
}

}  // namespace

// The order matters: what sets immediate_exit after it is cleared makes run() come back at once,
// and what did so before is seen by the steps that follow (the timer by advance and arm_timer,
// posts by enter_guest).
void VcpuRunner::run_once() {
    vcpu_.clear_immediate_exit();
    apic_.advance(host_.guest_tsc());
    inject();
    arm_timer();
    if (activity() != Activity::running) return;
    if (mailbox_.enter_guest() == InterruptMailbox::Entry::look_again) return;
    kvm::Exit exit = vcpu_.run();
    mailbox_.leave_guest();
    answer_pending_ = false;
    exits_.fetch_add(1, std::memory_order_relaxed);
    sync_from_guest();
    handle(std::move(exit));
}

void VcpuRunner::inject() {
    // KVM holds one interrupt, and is not ready for a second before the first went in.
    if (vcpu_.ready_for_interrupt()) {
        if (const auto vector = apic_.injectable()) {
            if (auto done = vcpu_.interrupt(*vector); !done) return fail(done.error().message);
            apic_.begin_service(*vector);
        }
    }
    vcpu_.request_interrupt_window(apic_.injectable() ? kvm::Vcpu::Window::wanted
                                                      : kvm::Vcpu::Window::not_wanted);
    vcpu_.set_cr8(apic_.cr8());
}

// Set again only for another deadline, as that costs a system call, or when it has gone off too
// early by the guest's clock. One that is no longer needed stays set: a needless kick is harmless.
void VcpuRunner::arm_timer() {
    const auto deadline = apic_.next_deadline();
    if (!deadline || (deadline == timer_set_for_ && monotonic_now() < timer_fires_at_)) return;
    timer_fires_at_ = host_time_of(*deadline);
    timer_set_for_ = deadline;
    if (auto armed = timer_->arm(timer_fires_at_); !armed) fail(armed.error().message);
}

// Rounded up, so that the guest's clock has reached `moment` by then.
Instant VcpuRunner::host_time_of(GuestTsc moment) {
    const Instant now = monotonic_now();
    const std::uint64_t tsc = host_.guest_tsc().value();
    if (moment.value() <= tsc) return now;
    constexpr Duration kLongest = std::chrono::hours(1);
    const std::uint64_t ticks = moment.value() - tsc;
    if (ticks / tsc_khz_ >= 3'600'000) return now + kLongest;  // looked at again then
    const std::uint64_t ns = (ticks * 1000 / tsc_khz_ + 1) * 1000;
    return now + Duration(static_cast<Duration::rep>(ns));
}

void VcpuRunner::sync_from_guest() {
    apic_.set_cr8(vcpu_.cr8());
    if (vcpu_.apic_base() != apic_.base()) perform(apic_.set_base(vcpu_.apic_base()));
}

void VcpuRunner::settle() {
    while (answer_pending_) {
        answer_pending_ = false;
        vcpu_.set_cr8(apic_.cr8());
        kvm::Exit exit = vcpu_.complete_io();
        sync_from_guest();
        handle(std::move(exit));
    }
}

void VcpuRunner::refresh() {
    answer_pending_ = true;
    settle();
}

void VcpuRunner::handle(kvm::Exit exit) {
    std::visit(Overloaded{
                   [this](const kvm::IoExit& io) { on(io); },
                   [this](const kvm::MmioExit& mmio) { on(mmio); },
                   [this](const kvm::RdMsrExit& msr) { on(msr); },
                   [this](const kvm::WrMsrExit& msr) { on(msr); },
                   [this](const kvm::HltExit&) { halt(); },
                   [](const kvm::IrqWindowOpenExit&) {},
                   [](const kvm::SetTprExit&) {},
                   [](const kvm::InterruptedExit&) {},
                   [this](const kvm::ShutdownExit&) {
                       set_activity(Activity::ended);
                       host_.guest_shutdown(id_);
                   },
                   [this](const kvm::FailedExit& failed) { fail(failed.text); },
               },
               exit);
}

// An NMI that waited in KVM for the end of another one's handler may still be there when the
// vCPU halts: it must not sleep then.
void VcpuRunner::halt() {
    if (nmi_in_kvm_) {
        const auto events = vcpu_.events();
        if (!events) return fail(events.error().message);
        if (events->nmi.pending != 0 && events->nmi.masked == 0) return;
        nmi_in_kvm_ = events->nmi.pending != 0;
    }
    set_activity(Activity::halted);
}

void VcpuRunner::on(const kvm::IoExit& exit) {
    answer_pending_ = true;
    for (std::uint32_t i = 0; i < exit.count; ++i) {
        const std::span<std::byte> data = exit.data.subspan(std::size_t{i} * exit.size, exit.size);
        switch (exit.direction) {
            case kvm::Direction::in:
                host_.pio_in(id_, exit.port, data);
                break;
            case kvm::Direction::out:
                if (host_.pio_out(id_, exit.port, data, vcpu_) == AfterIo::end_vcpu)
                    return set_activity(Activity::ended);
                break;
        }
    }
}

void VcpuRunner::on(const kvm::MmioExit& exit) {
    answer_pending_ = true;
    if (is_apic_page(exit.gpa) && apic_.mode() == ApicMode::xapic) return on_apic_access(exit);
    switch (exit.access) {
        case Access::read:
            return host_.mmio_read(id_, exit.gpa, exit.data);
        case Access::write:
            return host_.mmio_write(id_, exit.gpa, exit.data);
    }
}

// Registers are 32 bits wide and 16 bytes apart; other accesses are undefined (SDM 10.4.1).
void VcpuRunner::on_apic_access(const kvm::MmioExit& exit) {
    const auto offset = static_cast<std::uint32_t>(exit.gpa.value() - kApicPage.value());
    const std::uint32_t reg = offset & ~0xfu;
    const std::uint32_t first_byte = offset & 0xf;
    const GuestTsc now = host_.guest_tsc();
    switch (exit.access) {
        case Access::read: {
            const std::uint32_t value = apic_.read_register(reg, now);
            for (std::size_t i = 0; i < exit.data.size(); ++i) {
                const std::size_t byte = first_byte + i;
                exit.data[i] =
                    byte < 4 ? static_cast<std::byte>(value >> (8 * byte) & 0xff) : std::byte{0};
            }
            return;
        }
        case Access::write:
            if (first_byte != 0 || exit.data.size() != 4) return;
            return perform(
                apic_.write_register(reg, ByteReader(exit.data).read<std::uint32_t>(), now));
    }
}

void VcpuRunner::on(const kvm::RdMsrExit& exit) {
    answer_pending_ = true;
    const bool ours = (exit.index >= kX2apicFirstMsr && exit.index <= kX2apicLastMsr) ||
                      exit.index == kTscDeadlineMsr;
    if (!ours) return vcpu_.complete_rdmsr(msrs_.access(exit.index), 0);
    const auto value = apic_.read_msr(exit.index, host_.guest_tsc());
    vcpu_.complete_rdmsr(value ? kvm::MsrAnswer::done : kvm::MsrAnswer::general_protection,
                         value.value_or(0));
}

void VcpuRunner::on(const kvm::WrMsrExit& exit) {
    answer_pending_ = true;
    const bool ours = (exit.index >= kX2apicFirstMsr && exit.index <= kX2apicLastMsr) ||
                      exit.index == kTscDeadlineMsr;
    if (!ours) return vcpu_.complete_wrmsr(msrs_.access(exit.index));
    const auto effects = apic_.write_msr(exit.index, exit.value, host_.guest_tsc());
    vcpu_.complete_wrmsr(effects ? kvm::MsrAnswer::done : kvm::MsrAnswer::general_protection);
    if (effects) perform(*effects);
}

void VcpuRunner::perform(const ApicEffects& effects) {
    if (effects.address) host_.apic_address_changed(id_, *effects.address);
    if (effects.eoi) host_.end_of_interrupt(id_, *effects.eoi);
    if (effects.ipi) host_.send_ipi(id_, *effects.ipi);
}

}  // namespace vsmp::cpu
