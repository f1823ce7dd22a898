#include "vmm/node/node_vcpus.hpp"

#include <x86intrin.h>

#include "vmm/boot/micro.hpp"
#include "vmm/cpu/cpuid.hpp"
#include "vmm/node/boot_registers.hpp"

namespace vsmp {

NodeVcpus::NodeVcpus(VcpuMachine machine, InterruptHub& interrupts, DeviceAccess& devices,
                     CommandQueue<Command>& commands, VcpuEvents events)
    : machine_(std::move(machine)),
      interrupts_(interrupts),
      devices_(devices),
      commands_(commands),
      events_(std::move(events)),
      stopped_at_(machine_.vcpu_count) {}

NodeVcpus::~NodeVcpus() {
    stop();
}

Result<void> NodeVcpus::create(const MemoryLayout& layout, std::byte* guest_ram,
                               std::uint64_t guest_tsc_offset) {
    guest_tsc_offset_ = guest_tsc_offset;
    VSMP_TRY_ASSIGN(kvm_, kvm::Kvm::open());
    VSMP_TRY_ASSIGN(vm_, kvm_->create_vm());
    std::uint32_t slot = 0;
    for (const MemorySlot& memory : layout.slots())
        VSMP_TRY(vm_->set_memory(kvm::MemorySlot{slot++}, memory.gpa,
                                 {guest_ram + memory.offset, memory.bytes}));
    for (std::uint16_t i = 0; i < machine_.vcpu_count; ++i) VSMP_TRY(create_vcpu(VcpuId{i}));
    interrupts_.attach(runners_);
    return {};
}

Result<void> NodeVcpus::create_vcpu(VcpuId id) {
    VSMP_TRY_ASSIGN(kvm::Vcpu vcpu, vm_->create_vcpu(id));
    const cpu::CpuidShape shape{.vcpu_count = machine_.vcpu_count, .tsc_khz = machine_.tsc_khz};
    VSMP_TRY(vcpu.set_cpuid(cpu::guest_cpuid(machine_.cpuid, id, shape)));
    if (const auto set = vcpu.set_tsc_offset(guest_tsc_offset_);
        !set && machine_.kind == GuestKind::operating_system)
        return set.error();  // micro-guests do not compare clocks, and may run on any KVM
    if (!transfer_plan_) {
        VSMP_TRY_ASSIGN(transfer_plan_, shipper::plan_transfers(*kvm_, vcpu));
    }
    const auto transfer = std::make_shared<shipper::VcpuTransfer>(*transfer_plan_);
    const cpu::VcpuTransplant transplant{
        [transfer](kvm::Vcpu& from) { return transfer->capture(from); },
        [transfer](kvm::Vcpu& to, const shipper::VcpuState& state) {
            return transfer->restore(to, state);
        }};
    runners_.push_back(std::make_unique<cpu::VcpuRunner>(
        cpu::VcpuRunner::Setup{
            .id = id,
            .vcpu = std::move(vcpu),
            .role = id.value() == 0 ? cpu::ApicRole::bootstrap : cpu::ApicRole::application,
            .tsc_khz = machine_.tsc_khz,
            .transplant = transplant},
        *this));
    return {};
}

void NodeVcpus::start(const std::vector<boot::BootState>& states) {
    for (std::size_t i = 0; i < runners_.size(); ++i) {
        if (i < states.size())
            runners_[i]->start(to_boot_start(states[i]));
        else
            runners_[i]->start(cpu::WaitForSipiStart{});
    }
}

void NodeVcpus::stop() {
    for (const auto& runner : runners_) runner->stop();
}

std::optional<VcpuId> NodeVcpus::vcpu_of_thread(pid_t thread) const {
    for (std::size_t i = 0; i < runners_.size(); ++i)
        if (runners_[i]->thread_id() == thread) return VcpuId{static_cast<std::uint16_t>(i)};
    return std::nullopt;
}

Duration NodeVcpus::idle_time(VcpuId vcpu) const {
    return vcpu.value() < runners_.size() ? runners_[vcpu.value()]->idle_time() : Duration::zero();
}

std::optional<Duration> NodeVcpus::turn_time(VcpuId vcpu) const {
    return vcpu.value() < runners_.size() ? runners_[vcpu.value()]->turn_time() : std::nullopt;
}

std::vector<NodeStats::VcpuStats> NodeVcpus::stats() const {
    std::vector<NodeStats::VcpuStats> stats;
    for (std::size_t i = 0; i < runners_.size(); ++i) {
        const cpu::Activity activity = runners_[i]->activity();
        const VcpuActivity shown = activity == cpu::Activity::wait_for_sipi ? VcpuActivity::waiting
                                   : activity == cpu::Activity::halted      ? VcpuActivity::halted
                                                                            : VcpuActivity::running;
        stats.push_back({.id = VcpuId{static_cast<std::uint16_t>(i)},
                         .here = false,
                         .exits = runners_[i]->exits(),
                         .activity = shown,
                         .decision = {}});
    }
    return stats;
}

void NodeVcpus::capture(VcpuId vcpu, NodeId to) {
    if (runners_[vcpu.value()]->request_departure(to) == cpu::Posted::closed)
        commands_.push(command::CaptureFailed{vcpu});  // it has ended
}

void NodeVcpus::resume(VcpuId vcpu) {
    runners_[vcpu.value()]->start(cpu::ResumeStart{});
}

void NodeVcpus::install(VcpuId vcpu, shipper::VcpuState state) {
    stopped_at_[vcpu.value()] = state.stopped_at;
    runners_[vcpu.value()]->start(cpu::ArrivalStart{std::move(state)});
}

void NodeVcpus::deliver(VcpuId vcpu, const shipper::Interrupt& interrupt) {
    // Closed only when the vCPU has ended: nobody is there to be interrupted.
    (void)runners_[vcpu.value()]->post(interrupt);
}

cpu::AfterIo NodeVcpus::pio_out(VcpuId vcpu, std::uint16_t port, ByteView data,
                                const kvm::Vcpu& cpu) {
    const bool micro = machine_.kind == GuestKind::micro_guest &&
                       (port == boot::kReportPort || port == boot::kFinishPort);
    if (!micro) {
        devices_.write(vcpu, AddressSpace::port, port, data);
        return cpu::AfterIo::proceed;
    }
    const auto regs = cpu.regs();
    events_.micro_report({.vcpu = vcpu,
                          .port = port,
                          .code = ByteReader{data}.read<std::uint32_t>(),
                          .value = regs ? regs->rbx : 0});
    return port == boot::kFinishPort ? cpu::AfterIo::end_vcpu : cpu::AfterIo::proceed;
}

void NodeVcpus::pio_in(VcpuId vcpu, std::uint16_t port, std::span<std::byte> data) {
    devices_.read(vcpu, AddressSpace::port, port, data);
}

void NodeVcpus::mmio_write(VcpuId vcpu, Gpa gpa, ByteView data) {
    devices_.write(vcpu, AddressSpace::mmio, gpa.value(), data);
}

void NodeVcpus::mmio_read(VcpuId vcpu, Gpa gpa, std::span<std::byte> data) {
    devices_.read(vcpu, AddressSpace::mmio, gpa.value(), data);
}

void NodeVcpus::send_ipi(VcpuId from, const cpu::Ipi& ipi) {
    interrupts_.send_ipi(from, ipi);
}

void NodeVcpus::end_of_interrupt(VcpuId, std::uint8_t vector) {
    devices_.end_of_interrupt(vector);
}

void NodeVcpus::apic_address_changed(VcpuId vcpu, const cpu::ApicAddress& address) {
    interrupts_.set_address(vcpu, address);
    commands_.push(command::Send{.to = std::nullopt, .message = ApicMoved{vcpu, address}});
}

cpu::GuestTsc NodeVcpus::guest_tsc() {
    return cpu::GuestTsc{__rdtsc() + guest_tsc_offset_};
}

void NodeVcpus::departed(VcpuId vcpu, NodeId, shipper::VcpuState state) {
    std::vector<std::byte> bytes(shipper::kMaxStateBytes);
    ByteWriter writer{bytes};
    shipper::encode(state, writer);
    bytes.resize(writer.size());
    commands_.push(command::Captured{vcpu, std::move(bytes)});
}

void NodeVcpus::capture_failed(VcpuId vcpu, NodeId, const Error&) {
    commands_.push(command::CaptureFailed{vcpu});
}

void NodeVcpus::installed(VcpuId vcpu) {
    const std::uint64_t ticks = guest_tsc().value() - stopped_at_[vcpu.value()];
    // Clocks of different hosts agree but so well: a difference below zero shows as 0.
    const auto signed_ticks = std::max<std::int64_t>(static_cast<std::int64_t>(ticks), 0);
    const auto khz = static_cast<std::int64_t>(machine_.tsc_khz);
    const Duration blackout{khz == 0 ? 0 : signed_ticks * 1000 / khz * 1000};
    commands_.push(command::Installed{vcpu, blackout});
}

void NodeVcpus::install_failed(VcpuId vcpu, const Error&, const cpu::InterruptStash& unread) {
    // Before the answer: the directory stashes them, and sends them back with the vCPU.
    unread.for_each([&](const cpu::Interrupt& i) { commands_.push(command::Raise{vcpu, i}); });
    commands_.push(command::InstallFailed{vcpu});
}

void NodeVcpus::vcpu_failed(VcpuId vcpu, const std::string& text) {
    events_.guest_ended(GuestEnd::crashed, "vCPU " + std::to_string(vcpu.value()) + ": " + text);
}

void NodeVcpus::guest_shutdown(VcpuId vcpu) {
    events_.guest_ended(GuestEnd::crashed,
                        "vCPU " + std::to_string(vcpu.value()) + " shut down (triple fault)");
}

}  // namespace vsmp
