// The vCPUs of one node: its KVM virtual machine, a runner for every vCPU of the guest, and what
// the runners need of the node around them.
//
// LocalVcpus is called by the data plane, VcpuHost by the runners' threads.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "kvm_glue/kvm.hpp"
#include "vcpu_shipper/io/vcpu_transfer.hpp"
#include "vmm/boot/boot_image.hpp"
#include "vmm/cpu/vcpu_runner.hpp"
#include "vmm/memory_layout.hpp"
#include "vmm/node/data_plane.hpp"
#include "vmm/node/device_access.hpp"
#include "vmm/node/interrupt_hub.hpp"
#include "vmm/node/node.hpp"

namespace vsmp {

struct VcpuMachine {
    std::uint16_t vcpu_count = 1;
    GuestKind kind = GuestKind::operating_system;
    std::vector<CpuidLeaf> cpuid;  // common to all nodes
    std::uint64_t tsc_khz = 0;
};

// What the vCPUs report; called on their threads, must not block.
struct VcpuEvents {
    std::function<void(const MicroReport&)> micro_report;
    std::function<void(GuestEnd, std::string)> guest_ended;
};

class NodeVcpus final : public LocalVcpus, public cpu::VcpuHost {
  public:
    NodeVcpus(VcpuMachine machine, InterruptHub& interrupts, DeviceAccess& devices,
              CommandQueue<Command>& commands, VcpuEvents events);
    ~NodeVcpus() override;

    // Makes the VM and its vCPUs, all parked; guest TSC = host TSC + `guest_tsc_offset`.
    Result<void> create(const MemoryLayout& layout, std::byte* guest_ram,
                        std::uint64_t guest_tsc_offset);
    // Node 0: lets the guest begin.
    void start(const std::vector<boot::BootState>& states);
    // Joins the runners. What they wait for (pages, device replies) must have been released.
    void stop();

    std::optional<VcpuId> vcpu_of_thread(pid_t thread) const;
    // cpu::VcpuRunner::idle_time.
    Duration idle_time(VcpuId vcpu) const;
    // cpu::VcpuRunner::turn_time.
    std::optional<Duration> turn_time(VcpuId vcpu) const;
    // Without `here`: only the directory knows.
    std::vector<NodeStats::VcpuStats> stats() const;

    // --- LocalVcpus
    void capture(VcpuId vcpu, NodeId to) override;
    void resume(VcpuId vcpu) override;
    void install(VcpuId vcpu, shipper::VcpuState state) override;
    void deliver(VcpuId vcpu, const shipper::Interrupt& interrupt) override;

    // --- cpu::VcpuHost
    cpu::AfterIo pio_out(VcpuId vcpu, std::uint16_t port, ByteView data,
                         const kvm::Vcpu& cpu) override;
    void pio_in(VcpuId vcpu, std::uint16_t port, std::span<std::byte> data) override;
    void mmio_write(VcpuId vcpu, Gpa gpa, ByteView data) override;
    void mmio_read(VcpuId vcpu, Gpa gpa, std::span<std::byte> data) override;
    void send_ipi(VcpuId from, const cpu::Ipi& ipi) override;
    void end_of_interrupt(VcpuId vcpu, std::uint8_t vector) override;
    void apic_address_changed(VcpuId vcpu, const cpu::ApicAddress& address) override;
    cpu::GuestTsc guest_tsc() override;
    void departed(VcpuId vcpu, NodeId to, shipper::VcpuState state) override;
    void capture_failed(VcpuId vcpu, NodeId to, const Error& error) override;
    void installed(VcpuId vcpu) override;
    void install_failed(VcpuId vcpu, const Error& error,
                        const cpu::InterruptStash& unread) override;
    void vcpu_failed(VcpuId vcpu, const std::string& text) override;
    void guest_shutdown(VcpuId vcpu) override;

  private:
    Result<void> create_vcpu(VcpuId vcpu);

    VcpuMachine machine_;
    InterruptHub& interrupts_;
    DeviceAccess& devices_;
    CommandQueue<Command>& commands_;
    VcpuEvents events_;
    std::uint64_t guest_tsc_offset_ = 0;

    std::optional<kvm::Kvm> kvm_;
    std::optional<kvm::Vm> vm_;
    std::optional<shipper::TransferPlan> transfer_plan_;
    // By vCPU: guest TSC when the one that arrives stopped. Written before the runner is started.
    std::vector<std::uint64_t> stopped_at_;
    std::vector<std::unique_ptr<cpu::VcpuRunner>> runners_;
};

}  // namespace vsmp
