// What a vCPU's runner needs of the node around it. Every call comes from that vCPU's thread; the
// node makes them safe for many vCPU threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kvm_glue/vcpu.hpp"
#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"
#include "vcpu_shipper/core/vcpu_state.hpp"
#include "vmm/cpu/apic_types.hpp"

namespace vsmp::cpu {

enum class AfterIo : std::uint8_t {
    proceed,
    end_vcpu,  // never runs again on any node; the runner only waits for stop()
};

class VcpuHost {
  public:
    virtual ~VcpuHost() = default;

    // --- devices. May block (a device of another node answers over the fabric); must come back
    // when the node stops. 1, 2 or 4 bytes. `cpu` is for reading registers (micro-guests).
    virtual AfterIo pio_out(VcpuId vcpu, std::uint16_t port, ByteView data,
                            const kvm::Vcpu& cpu) = 0;
    virtual void pio_in(VcpuId vcpu, std::uint16_t port, std::span<std::byte> data) = 0;
    // 1 to 8 bytes; the local APIC's page does not come here.
    virtual void mmio_write(VcpuId vcpu, Gpa gpa, ByteView data) = 0;
    virtual void mmio_read(VcpuId vcpu, Gpa gpa, std::span<std::byte> data) = 0;

    // --- interrupts. Must not block.
    virtual void send_ipi(VcpuId from, const Ipi& ipi) = 0;
    // A level-triggered vector ended: for the I/O APICs.
    virtual void end_of_interrupt(VcpuId vcpu, std::uint8_t vector) = 0;
    virtual void apic_address_changed(VcpuId vcpu, const ApicAddress& address) = 0;

    // --- time. Same clock as the guest's RDTSC on any node.
    virtual GuestTsc guest_tsc() = 0;

    // --- shipping. Must not block. After departed() or capture_failed() the mailbox is closed and
    // the vCPU stands still until VcpuRunner::start (ResumeStart to go on here).
    virtual void departed(VcpuId vcpu, NodeId to, shipper::VcpuState state) = 0;
    virtual void capture_failed(VcpuId vcpu, NodeId to, const Error& error) = 0;
    // Answers to ArrivalStart. installed() comes before the vCPU's first instruction here; after
    // install_failed() it has not run, and the mailbox is closed again (`unread`: what was posted
    // meanwhile).
    virtual void installed(VcpuId vcpu) = 0;
    virtual void install_failed(VcpuId vcpu, const Error& error, const InterruptStash& unread) = 0;

    // --- ends. Must not block. The vCPU does not run any more.
    virtual void vcpu_failed(VcpuId vcpu, const std::string& text) = 0;
    // Triple fault, or INIT of the bootstrap processor: the guest resets.
    virtual void guest_shutdown(VcpuId vcpu) = 0;
};

}  // namespace vsmp::cpu
