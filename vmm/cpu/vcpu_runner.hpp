// The thread of one vCPU on one node: parked while the vCPU is elsewhere, else in the guest, halted
// or waiting for SIPI, with the vCPU's local APIC in its hands.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "kvm_glue/kick.hpp"
#include "kvm_glue/vcpu.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"
#include "vmm/cpu/activity.hpp"
#include "vmm/cpu/interrupt_mailbox.hpp"
#include "vmm/cpu/lapic.hpp"
#include "vmm/cpu/msr_policy.hpp"
#include "vmm/cpu/vcpu_host.hpp"
#include "vmm/cpu/vcpu_start.hpp"

namespace vsmp::cpu {

// How vcpu_shipper reads and writes a stopped vCPU. Called on the vCPU's thread.
// VcpuState::local_apic is the runner's business.
struct VcpuTransplant {
    std::function<Result<shipper::VcpuState>(kvm::Vcpu&)> capture;
    std::function<Result<void>(kvm::Vcpu&, const shipper::VcpuState&)> restore;
};

class VcpuRunner {
  public:
    struct Setup {
        VcpuId id;
        kvm::Vcpu vcpu;  // CPUID and TSC are set; otherwise as created
        ApicRole role = ApicRole::application;
        std::uint64_t tsc_khz = 0;    // rate of VcpuHost::guest_tsc
        std::uint32_t signature = 0;  // CPUID.1:EAX, which EDX holds after INIT
        VcpuTransplant transplant;
    };

    // Starts the thread, parked. kvm::install_kick_handler() has been called; `host` outlives the
    // runner.
    VcpuRunner(Setup setup, VcpuHost& host);
    // Stops; see stop().
    ~VcpuRunner();
    VcpuRunner(const VcpuRunner&) = delete;
    VcpuRunner& operator=(const VcpuRunner&) = delete;

    // Any thread. The vCPU must not be here already.
    void start(VcpuStart start) { mailbox_.start(std::move(start)); }
    // Any thread. closed: the vCPU is not here; the interrupt goes elsewhere.
    Posted post(const Interrupt& interrupt) { return mailbox_.post(interrupt); }
    // Any thread. VcpuHost::departed or capture_failed follows, once, if it was accepted.
    Posted request_departure(NodeId to) { return mailbox_.request_departure(to); }
    // Any thread but its own. Joins: a host call under way must come back, and a page that KVM
    // itself waits for must still be served. Idempotent.
    void stop();

    // Any thread; a snapshot.
    Activity activity() const { return activity_.load(std::memory_order_relaxed); }
    // gettid(2) of the thread, as userfaultfd names whoever waits for a page; 0 until it runs.
    pid_t thread_id() const { return thread_id_.load(std::memory_order_relaxed); }
    // How long it had nothing to do, all told: halted, not started yet, or not here.
    Duration idle_time() const;
    // Time that the vCPU had: its thread on a CPU, or halted. None until the thread runs.
    std::optional<Duration> turn_time() const;
    std::uint64_t exits() const { return exits_.load(std::memory_order_relaxed); }
    std::vector<MsrCount> ignored_msrs() const { return msrs_.counts(); }

  private:
    static constexpr Instant kBusy{};
    static constexpr clockid_t kNoClock = -1;

    enum class Outcome : std::uint8_t { go_on, stop };

    void thread_main();
    InterruptMailbox::Contents wait_for_work();
    Outcome apply(InterruptMailbox::Contents contents);
    void deliver(const InterruptStash& interrupts);
    // Whether the vCPU is here now. `interrupts` were posted since the start was ordered.
    bool begin(VcpuStart start, const InterruptStash& interrupts);
    Result<void> begin_boot(const BootStart& start);
    Result<void> begin_arrival(const shipper::VcpuState& state);
    void depart(NodeId to);
    void nmi();
    void init();
    void sipi(std::uint8_t page);
    Result<void> reset_registers();

    bool can_run();
    void run_once();
    void inject();
    void arm_timer();
    void sync_from_guest();
    // Finishes the instruction whose exit was answered last.
    void settle();
    // The same without such an instruction: makes what KVM says of the vCPU's interrupt state
    // current after its registers were written.
    void refresh();
    void handle(kvm::Exit exit);
    void halt();
    void on(const kvm::IoExit& exit);
    void on(const kvm::MmioExit& exit);
    void on(const kvm::RdMsrExit& exit);
    void on(const kvm::WrMsrExit& exit);
    void on_apic_access(const kvm::MmioExit& exit);
    void perform(const ApicEffects& effects);
    void fail(const std::string& text);
    void set_activity(Activity activity) { activity_.store(activity, std::memory_order_relaxed); }
    Instant host_time_of(GuestTsc moment);

    const VcpuId id_;
    const ApicRole role_;
    const std::uint64_t tsc_khz_;
    const std::uint32_t signature_;
    const VcpuTransplant transplant_;
    VcpuHost& host_;
    kvm::Vcpu vcpu_;
    LocalApic apic_;
    MsrPolicy msrs_;
    InterruptMailbox mailbox_;
    std::optional<kvm::KickTimer> timer_;
    std::optional<GuestTsc> timer_set_for_;
    Instant timer_fires_at_{};
    bool answer_pending_ = false;  // an I/O exit was answered, its instruction is not finished
    bool nmi_in_kvm_ = false;      // maybe: one was handed over that may not have been taken yet
    Activity resume_as_ = Activity::parked;
    std::atomic<Activity> activity_{Activity::parked};
    std::atomic<pid_t> thread_id_{0};
    std::atomic<clockid_t> cpu_clock_{kNoClock};  // of the thread
    std::atomic<std::uint64_t> exits_{0};
    std::atomic<Duration> idle_{Duration::zero()};  // without the idleness that goes on
    std::atomic<Instant> idle_since_{kBusy};
    std::thread thread_;
};

}  // namespace vsmp::cpu
