// /dev/kvm itself: what it offers, and the VMs made from it. KVM_* ioctls appear in kvm_glue/ and
// nowhere else (Documentation/virt/kvm/api.rst is the reference for all of this directory).
//
// Threads: Kvm and Vm may be used by several threads at once (the kernel locks); a Vcpu belongs to
// the one thread that runs it.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <vector>

#include "proto/cpuid_leaf.hpp"
#include "proto/fd.hpp"
#include "proto/ids.hpp"
#include "proto/result.hpp"

namespace vsmp::kvm {

class Vcpu;
class Vm;

class Kvm {
  public:
    // Opens /dev/kvm. The error of an unusable one is a single line that says all it lacks; see
    // probe.hpp for the same as data.
    static Result<Kvm> open();

    // KVM_CHECK_EXTENSION: 0 when absent, else a positive, capability-specific number.
    int extension(std::uint32_t capability) const;
    Result<std::vector<CpuidLeaf>> supported_cpuid() const;
    // MSRs that KVM_GET_MSRS/KVM_SET_MSRS know: the candidates for a vCPU's saved state.
    Result<std::vector<std::uint32_t>> msr_indices() const;
    // A VM without in-kernel interrupt controllers. Accesses to MSRs that KVM does not handle
    // itself (x2APIC, unknown ones) leave the guest as RdMsr/WrMsr; IA32_TSC_DEADLINE too, but see
    // deadline_msr.hpp.
    Result<Vm> create_vm() const;

  private:
    explicit Kvm(UniqueFd fd) : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

using MemorySlot = Id<struct MemorySlotTag, std::uint32_t>;

class Vm {
  public:
    // Guest physical [gpa, gpa + memory.size()) is `memory`, which must stay mapped for as long as
    // this VM lives. Both ends page aligned.
    Result<void> set_memory(MemorySlot slot, Gpa gpa, std::span<std::byte> memory);
    // `id` becomes the vCPU's KVM id; it has the reset state of a processor (SDM vol. 3A 9.1).
    Result<Vcpu> create_vcpu(VcpuId id);

  private:
    friend class Kvm;
    Vm(UniqueFd fd, std::size_t run_size, std::size_t xsave_size)
        : fd_(std::move(fd)), run_size_(run_size), xsave_size_(xsave_size) {}

    UniqueFd fd_;
    std::size_t run_size_;    // bytes of a vCPU's struct kvm_run mapping
    std::size_t xsave_size_;  // bytes of KVM_GET_XSAVE2, at least 4096
};

}  // namespace vsmp::kvm
