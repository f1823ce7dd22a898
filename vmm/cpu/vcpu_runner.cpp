// The thread: what it waits for, and what it does with what it finds. vcpu_exits.cpp has the rest.
#include "vmm/cpu/vcpu_runner.hpp"

#include <unistd.h>

#include <pthread.h>

#include <string>
#include <utility>

#include "proto/check.hpp"
#include "proto/monotonic_clock.hpp"
#include "vmm/cpu/reset_state.hpp"
#include "vmm/cpu/runner_state.hpp"

namespace vsmp::cpu {

VcpuRunner::VcpuRunner(Setup setup, VcpuHost& host)
    : id_(setup.id),
      role_(setup.role),
      tsc_khz_(setup.tsc_khz),
      signature_(setup.signature),
      transplant_(std::move(setup.transplant)),
      host_(host),
      vcpu_(std::move(setup.vcpu)),
      apic_(id_, role_) {
    VSMP_CHECK(tsc_khz_ > 0, "a vCPU needs to know its TSC's rate");
    thread_ = std::thread([this] { thread_main(); });
}

VcpuRunner::~VcpuRunner() {
    stop();
}

void VcpuRunner::stop() {
    mailbox_.request_stop();
    if (thread_.joinable()) thread_.join();
}

void VcpuRunner::thread_main() {
    // For top -H.
    ::pthread_setname_np(::pthread_self(), ("vsmp-vcpu" + std::to_string(id_.value())).c_str());
    thread_id_.store(::gettid(), std::memory_order_relaxed);
    clockid_t clock{};
    if (::pthread_getcpuclockid(::pthread_self(), &clock) == 0)
        cpu_clock_.store(clock, std::memory_order_relaxed);
    mailbox_.set_kick([this, self = ::pthread_self()] {
        auto kicked = kvm::kick(self, vcpu_.immediate_exit());
        VSMP_CHECK(kicked, "a vCPU cannot be called out of the guest");
    });
    auto timer = kvm::KickTimer::create_for_this_thread(vcpu_.immediate_exit());
    VSMP_CHECK(timer, "a vCPU has no timer");
    timer_ = *std::move(timer);

    for (;;) {
        auto contents = can_run() ? mailbox_.take() : wait_for_work();
        if (apply(std::move(contents)) == Outcome::stop) break;
        if (can_run()) run_once();
    }
    timer_.reset();
}

InterruptMailbox::Contents VcpuRunner::wait_for_work() {
    const auto deadline = activity() == Activity::halted ? apic_.next_deadline() : std::nullopt;
    const Instant since = monotonic_now();
    idle_since_.store(since, std::memory_order_relaxed);
    auto contents = mailbox_.wait(deadline ? std::optional(host_time_of(*deadline)) : std::nullopt);
    // In this order: read between the two, the time shows too short for once, not too long.
    idle_since_.store(kBusy, std::memory_order_relaxed);
    idle_.store(idle_.load(std::memory_order_relaxed) + (monotonic_now() - since),
                std::memory_order_relaxed);
    return contents;
}

Duration VcpuRunner::idle_time() const {
    const Instant since = idle_since_.load(std::memory_order_relaxed);
    const Duration before = idle_.load(std::memory_order_relaxed);
    return since == kBusy ? before : before + (monotonic_now() - since);
}

std::optional<Duration> VcpuRunner::turn_time() const {
    const clockid_t clock = cpu_clock_.load(std::memory_order_relaxed);
    timespec ran{};
    if (clock == kNoClock || ::clock_gettime(clock, &ran) != 0) return std::nullopt;
    return idle_time() + std::chrono::seconds(ran.tv_sec) + Duration{ran.tv_nsec};
}

// A halted vCPU wakes up here.
bool VcpuRunner::can_run() {
    switch (activity()) {
        case Activity::running:
            return true;
        case Activity::halted:
            apic_.advance(host_.guest_tsc());
            if (!vcpu_.interrupt_flag() || !apic_.injectable()) return false;
            set_activity(Activity::running);
            return true;
        case Activity::parked:
        case Activity::wait_for_sipi:
        case Activity::ended:
            return false;
    }
    return false;
}

VcpuRunner::Outcome VcpuRunner::apply(InterruptMailbox::Contents contents) {
    if (contents.stop) return Outcome::stop;
    if (contents.start && !begin(std::move(*contents.start), contents.interrupts))
        return Outcome::go_on;
    deliver(contents.interrupts);
    if (contents.depart) depart(*contents.depart);
    return Outcome::go_on;
}

void VcpuRunner::deliver(const InterruptStash& interrupts) {
    if (activity() == Activity::ended) return;
    interrupts.for_each([this](const Interrupt& interrupt) {
        switch (interrupt.kind) {
            case InterruptKind::fixed:
                return apic_.accept(interrupt.vector, interrupt.trigger);
            case InterruptKind::nmi:
                return nmi();
            case InterruptKind::init:
                return init();
            case InterruptKind::sipi:
                return sipi(interrupt.vector);
        }
    });
}

void VcpuRunner::nmi() {
    if (activity() == Activity::wait_for_sipi) return;
    if (auto done = vcpu_.nmi(); !done) return fail(done.error().message);
    nmi_in_kvm_ = true;
    if (activity() == Activity::halted) set_activity(Activity::running);
}

void VcpuRunner::init() {
    if (role_ == ApicRole::bootstrap) {
        // It would go to the firmware's reset vector, and there is no firmware.
        set_activity(Activity::ended);
        return host_.guest_shutdown(id_);
    }
    settle();
    if (auto done = reset_registers(); !done) return fail(done.error().message);
    perform(apic_.init());
    set_activity(Activity::wait_for_sipi);
}

Result<void> VcpuRunner::reset_registers() {
    VSMP_TRY_ASSIGN(const kvm_sregs sregs, vcpu_.sregs());
    kvm_sregs fresh = init_sregs(sregs);
    fresh.apic_base = apic_.base();
    VSMP_TRY(vcpu_.set_sregs(fresh));
    VSMP_TRY(vcpu_.set_regs(init_regs(signature_)));
    kvm_debugregs debug{};
    debug.dr6 = 0xffff0ff0;
    debug.dr7 = 0x400;
    VSMP_TRY(vcpu_.set_debugregs(debug));
    // Nothing that was about to be delivered survives.
    kvm_vcpu_events events{};
    events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    return vcpu_.set_events(events);
}

void VcpuRunner::sipi(std::uint8_t page) {
    if (activity() != Activity::wait_for_sipi) return;
    kvm_regs regs = init_regs(signature_);
    auto sregs = vcpu_.sregs();
    if (!sregs) return fail(sregs.error().message);
    start_at(page, regs, *sregs);
    if (auto done = vcpu_.set_sregs(*sregs); !done) return fail(done.error().message);
    if (auto done = vcpu_.set_regs(regs); !done) return fail(done.error().message);
    set_activity(Activity::running);
    refresh();
}

// Whether the vCPU is here now.
bool VcpuRunner::begin(VcpuStart start, const InterruptStash& interrupts) {
    timer_set_for_.reset();
    if (const auto* boot = std::get_if<BootStart>(&start)) {
        if (auto done = begin_boot(*boot); !done) fail(done.error().message);
    } else if (std::holds_alternative<WaitForSipiStart>(start)) {
        perform(apic_.init());
        if (auto done = reset_registers(); !done) fail(done.error().message);
        set_activity(Activity::wait_for_sipi);
    } else if (const auto* arrival = std::get_if<ArrivalStart>(&start)) {
        if (auto done = begin_arrival(arrival->state); !done) {
            InterruptStash unread = interrupts;
            mailbox_.close().for_each([&](const Interrupt& late) { unread.add(late); });
            set_activity(Activity::parked);
            host_.install_failed(id_, done.error(), unread);
            return false;
        }
        host_.installed(id_);
    } else {
        set_activity(resume_as_);
    }
    if (activity() == Activity::running || activity() == Activity::halted) refresh();
    return true;
}

Result<void> VcpuRunner::begin_boot(const BootStart& start) {
    VSMP_TRY(vcpu_.set_sregs(start.sregs));
    VSMP_TRY(vcpu_.set_regs(start.regs));
    if (start.xcr0 != 1) {
        kvm_xcrs xcrs{};
        xcrs.nr_xcrs = 1;
        xcrs.xcrs[0].value = start.xcr0;
        VSMP_TRY(vcpu_.set_xcrs(xcrs));
    }
    set_activity(Activity::running);
    perform(apic_.set_base(start.sregs.apic_base));
    return {};
}

Result<void> VcpuRunner::begin_arrival(const shipper::VcpuState& state) {
    VSMP_TRY_ASSIGN(RunnerState arrived, decode_runner_state(state.local_apic));
    if (arrived.apic.id() != id_) return Error{"the state is another vCPU's"};
    VSMP_TRY(transplant_.restore(vcpu_, state));
    apic_ = arrived.apic;
    nmi_in_kvm_ = state.events.nmi_pending != 0;
    set_activity(arrived.activity);
    return {};
}

void VcpuRunner::depart(NodeId to) {
    const GuestTsc stopped_at = host_.guest_tsc();
    settle();
    // From here on posts go elsewhere; what was posted before leaves with the vCPU.
    deliver(mailbox_.close());
    resume_as_ = activity();
    set_activity(Activity::parked);
    if (resume_as_ == Activity::ended)
        return host_.capture_failed(id_, to, Error{"the vCPU has ended"});
    auto state = transplant_.capture(vcpu_);
    if (!state) return host_.capture_failed(id_, to, state.error());
    state->stopped_at = stopped_at.value();
    state->local_apic = encode_runner_state({resume_as_, apic_});
    host_.departed(id_, to, *std::move(state));
}

void VcpuRunner::fail(const std::string& text) {
    if (activity() == Activity::ended) return;
    set_activity(Activity::ended);
    host_.vcpu_failed(id_, text);
}

}  // namespace vsmp::cpu
