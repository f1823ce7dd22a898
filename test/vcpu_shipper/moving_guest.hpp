// One guest in two VMs of one process that share its memory: what two nodes are to a vCPU, without
// the nodes. It computes at CPL 3 with vector registers and counts its interrupts.
#pragma once

#include <array>
#include <optional>

#include "test/kvm_glue/tiny_guest.hpp"
#include "vcpu_shipper/io/vcpu_transfer.hpp"

namespace vsmp::shipper {

class MovingGuest {
  public:
    MovingGuest();

    // The state to start from: every vector register that this CPU has, and MSRs, live.
    const VcpuState& start() const { return start_; }
    kvm::Vcpu& vcpu(std::size_t side) { return vcpus_[side]; }
    VcpuTransfer& transfer(std::size_t side) { return transfers_[side]; }
    const TransferPlan& plan() const { return plan_; }

    // Lets it compute on that side until it has got on a bit, then kicks it out of the guest.
    void compute(std::size_t side);
    static constexpr std::uint8_t kVector = 0x40;
    std::uint64_t interrupts_seen() const { return a_.guest.load64(kInterrupts); }

    // Fails the current test where `now` is not what start() becomes by computing.
    void expect_right(const VcpuState& now) const;
    std::size_t vector_bits() const { return vector_lanes_ * 64; }

  private:
    static constexpr std::uint64_t kCounter = test::TinyGuest::kData;
    static constexpr std::uint64_t kInterrupts = kCounter + 8;
    static constexpr std::uint64_t kHandler = 0x11000;

    void write_program();
    void fill_registers();
    std::uint64_t lane(const XsaveState& xsave, unsigned reg, std::size_t lane) const;

    test::TinyVm a_;
    kvm::Vm b_;
    TransferPlan plan_;
    std::vector<kvm::Vcpu> vcpus_;
    std::vector<VcpuTransfer> transfers_;
    std::vector<kvm::KickTimer> timers_;
    VcpuState start_;
    bool has_xsave_ = false;
    std::size_t vector_lanes_ = 2;  // 64-bit lanes of the widest vectors here
    std::uint64_t after_add_ = 0;   // address of the instruction that follows the addition
};

}  // namespace vsmp::shipper
