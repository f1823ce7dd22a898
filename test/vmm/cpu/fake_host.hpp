// A node around a few vCPU runners: ports and MMIO that record, IPIs that are routed, ships that
// wait to be carried on.
#pragma once

#include <gtest/gtest.h>
#include <x86intrin.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "test/kvm_glue/tiny_asm.hpp"
#include "test/kvm_glue/tiny_guest.hpp"
#include "vmm/cpu/cpuid.hpp"
#include "vmm/cpu/interrupt_router.hpp"
#include "vmm/cpu/vcpu_runner.hpp"

namespace vsmp::cpu {

struct Output {
    VcpuId vcpu;
    std::uint16_t port = 0;
    std::uint32_t value = 0;
    friend bool operator==(const Output&, const Output&) = default;
};

class FakeHost : public VcpuHost {
  public:
    explicit FakeHost(std::uint16_t vcpu_count) : router_(vcpu_count) {}

    // Where IPIs to that vCPU go.
    void attach(VcpuId id, VcpuRunner& runner) {
        const std::lock_guard lock(mutex_);
        runners_[id.value()] = &runner;
    }

    // Blocks until the guest has written to a port; fails the test after a long time.
    Output next_output() {
        std::unique_lock lock(mutex_);
        if (!wait(lock, [this] { return !outputs_.empty() || !failure_.empty(); })) return {};
        if (!failure_.empty()) {
            ADD_FAILURE() << failure_;
            return {};
        }
        const Output output = outputs_.front();
        outputs_.pop_front();
        return output;
    }
    std::size_t outputs_waiting() {
        const std::lock_guard lock(mutex_);
        return outputs_.size();
    }

    struct Departure {
        NodeId to;
        std::optional<shipper::VcpuState> state;  // none: the capture failed
    };
    Departure next_departure() {
        std::unique_lock lock(mutex_);
        if (!wait(lock, [this] { return !departures_.empty(); })) return {};
        Departure departure = std::move(departures_.front());
        departures_.pop_front();
        return departure;
    }
    void wait_for_shutdown() {
        std::unique_lock lock(mutex_);
        wait(lock, [this] { return shutdowns_ > 0; });
    }
    void wait_for_install_failure() {
        std::unique_lock lock(mutex_);
        wait(lock, [this] { return install_failures_ > 0; });
    }
    std::vector<std::uint8_t> eois() {
        const std::lock_guard lock(mutex_);
        return eois_;
    }

    // --- VcpuHost ---
    AfterIo pio_out(VcpuId vcpu, std::uint16_t port, ByteView data, const kvm::Vcpu&) override {
        std::uint32_t value = 0;
        std::memcpy(&value, data.data(), data.size());
        push_output({vcpu, port, value});
        return port == kEndPort ? AfterIo::end_vcpu : AfterIo::proceed;
    }
    void pio_in(VcpuId, std::uint16_t port, std::span<std::byte> data) override {
        std::fill(data.begin(), data.end(), static_cast<std::byte>(port));
    }
    void mmio_write(VcpuId vcpu, Gpa gpa, ByteView data) override {
        std::uint32_t value = 0;
        std::memcpy(&value, data.data(), std::min(data.size(), sizeof value));
        push_output({vcpu, static_cast<std::uint16_t>(gpa.value() & 0xffff), value});
    }
    void mmio_read(VcpuId, Gpa gpa, std::span<std::byte> data) override {
        std::fill(data.begin(), data.end(), static_cast<std::byte>(gpa.value() >> 24));
    }
    void send_ipi(VcpuId from, const Ipi& ipi) override {
        const std::lock_guard lock(mutex_);
        const VcpuSet targets = router_.resolve(from, ipi);
        const auto interrupt = interrupt_for(ipi.delivery, ipi.vector, Trigger::edge);
        if (!interrupt) return;
        for (auto& [id, runner] : runners_) {
            if (!targets.test(id)) continue;
            EXPECT_EQ(runner->post(*interrupt), Posted::accepted);
        }
    }
    void end_of_interrupt(VcpuId, std::uint8_t vector) override {
        const std::lock_guard lock(mutex_);
        eois_.push_back(vector);
    }
    void apic_address_changed(VcpuId vcpu, const ApicAddress& address) override {
        const std::lock_guard lock(mutex_);
        router_.set_address(vcpu, address);
    }
    GuestTsc guest_tsc() override { return GuestTsc(__rdtsc()); }
    void departed(VcpuId, NodeId to, shipper::VcpuState state) override {
        push_departure({to, std::move(state)});
    }
    void capture_failed(VcpuId, NodeId to, const Error&) override {
        push_departure({to, std::nullopt});
    }
    void installed(VcpuId) override {}
    void install_failed(VcpuId, const Error&, const InterruptStash&) override {
        const std::lock_guard lock(mutex_);
        ++install_failures_;
        changed_.notify_all();
    }
    void vcpu_failed(VcpuId, const std::string& text) override {
        const std::lock_guard lock(mutex_);
        failure_ = text;
        changed_.notify_all();
    }
    void guest_shutdown(VcpuId) override {
        const std::lock_guard lock(mutex_);
        ++shutdowns_;
        changed_.notify_all();
    }

    static constexpr std::uint16_t kEndPort = 0x7f;

  private:
    void push_output(Output output) {
        const std::lock_guard lock(mutex_);
        outputs_.push_back(output);
        changed_.notify_all();
    }
    void push_departure(Departure departure) {
        const std::lock_guard lock(mutex_);
        departures_.push_back(std::move(departure));
        changed_.notify_all();
    }
    template <class Predicate>
    bool wait(std::unique_lock<std::mutex>& lock, Predicate predicate) {
        const bool happened = changed_.wait_for(lock, std::chrono::seconds(20), predicate);
        if (!happened) ADD_FAILURE() << "the guest did nothing for 20 s";
        return happened;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    InterruptRouter router_;
    std::map<std::uint16_t, VcpuRunner*> runners_;
    std::deque<Output> outputs_;
    std::deque<Departure> departures_;
    std::vector<std::uint8_t> eois_;
    std::string failure_;
    int shutdowns_ = 0;
    int install_failures_ = 0;
};

// Stands in for vcpu_shipper: good enough for guests without FPU or MSR state. The registers stay
// here, beside the VcpuState that travels.
class FakeTransplant {
  public:
    VcpuTransplant functions() {
        return {.capture = [this](kvm::Vcpu& vcpu) { return capture(vcpu); },
                .restore = [this](kvm::Vcpu& vcpu,
                                  const shipper::VcpuState&) { return restore(vcpu); }};
    }
    bool refuse_capture = false, refuse_restore = false;
    kvm_regs captured_regs() const { return regs_; }

  private:
    Result<shipper::VcpuState> capture(kvm::Vcpu& vcpu) {
        if (refuse_capture) return Error{"told to refuse"};
        VSMP_TRY_ASSIGN(regs_, vcpu.regs());
        VSMP_TRY_ASSIGN(sregs_, vcpu.sregs());
        VSMP_TRY_ASSIGN(events_, vcpu.events());
        return shipper::VcpuState{};
    }
    Result<void> restore(kvm::Vcpu& vcpu) {
        if (refuse_restore) return Error{"told to refuse"};
        VSMP_TRY(vcpu.set_sregs(sregs_));
        VSMP_TRY(vcpu.set_regs(regs_));
        return vcpu.set_events(events_);
    }

    kvm_regs regs_{};
    kvm_sregs sregs_{};
    kvm_vcpu_events events_{};
};

// One node's VM with a runner for each vCPU.
class TinyNode {
  public:
    TinyNode(test::TinyGuest& guest, FakeHost& host, std::uint16_t vcpu_count,
             FakeTransplant* transplant = nullptr) {
        VSMP_CHECK(kvm::install_kick_handler(), "kick handler");
        VSMP_CHECK(vm_.set_memory(kvm::MemorySlot(0), Gpa(0), guest.memory()), "memory");
        const auto supported = *kvm_.supported_cpuid();
        for (std::uint16_t i = 0; i < vcpu_count; ++i) {
            kvm::Vcpu vcpu = *vm_.create_vcpu(VcpuId(i));
            VSMP_CHECK(vcpu.set_cpuid(guest_cpuid(supported, VcpuId(i), {vcpu_count, 0})), "CPUID");
            VSMP_CHECK(vcpu.set_tsc_offset(0), "TSC offset");
            fresh_sregs_ = *vcpu.sregs();
            const std::uint64_t khz = *vcpu.tsc_khz();
            runners_.push_back(std::make_unique<VcpuRunner>(
                VcpuRunner::Setup{
                    .id = VcpuId(i),
                    .vcpu = std::move(vcpu),
                    .role = i == 0 ? ApicRole::bootstrap : ApicRole::application,
                    .tsc_khz = khz,
                    .signature = 0x306d4,
                    .transplant =
                        transplant != nullptr ? transplant->functions() : VcpuTransplant{},
                },
                host));
        }
    }

    VcpuRunner& operator[](std::size_t i) { return *runners_[i]; }

    // 64-bit mode, the bootstrap processor's APIC.
    BootStart boot_at(std::uint64_t rip, test::Ring ring = test::Ring::kernel) const {
        BootStart start;
        start.regs = test::TinyGuest::regs(rip);
        start.sregs = test::TinyGuest::sregs(fresh_sregs_, ring);
        start.sregs.apic_base = 0xfee00900;
        return start;
    }

  private:
    kvm::Kvm kvm_ = *kvm::Kvm::open();
    kvm::Vm vm_ = *kvm_.create_vm();
    kvm_sregs fresh_sregs_{};
    std::vector<std::unique_ptr<VcpuRunner>> runners_;
};

}  // namespace vsmp::cpu
