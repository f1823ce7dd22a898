#include "kvm_glue/deadline_msr.hpp"

#include <array>
#include <cstring>

#include "kvm_glue/vcpu.hpp"

namespace vsmp::kvm {
namespace {

constexpr std::size_t kMemory = 4096;

// mov ecx, IA32_TSC_DEADLINE; wrmsr; hlt
constexpr std::array<std::uint8_t, 8> kCode{0xb9, 0xe0, 0x06, 0x00, 0x00, 0x0f, 0x30, 0xf4};

// 32-bit protected mode without paging, at 0: needs no tables, and unlike real mode it runs on the
// processor on every kind of VMX.
Result<void> prepare(Vcpu& vcpu) {
    VSMP_TRY_ASSIGN(kvm_sregs sregs, vcpu.sregs());
    sregs.cr0 |= 1;
    kvm_segment code{};
    code.limit = 0xffffffff;
    code.selector = 0x8;
    code.type = 11;
    code.present = code.s = code.g = code.db = 1;
    kvm_segment data = code;
    data.selector = 0x10;
    data.type = 3;
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    VSMP_TRY(vcpu.set_sregs(sregs));
    kvm_regs regs{};
    regs.rflags = 2;
    return vcpu.set_regs(regs);
}

}  // namespace

Result<DeadlineWrites> find_deadline_writes(const Kvm& kvm) {
    VSMP_TRY_ASSIGN(const Mapping memory, Mapping::shared(-1, kMemory));
    std::memcpy(memory.data(), kCode.data(), kCode.size());
    VSMP_TRY_ASSIGN(Vm vm, kvm.create_vm());
    VSMP_TRY(vm.set_memory(MemorySlot(0), Gpa(0), memory.bytes()));
    VSMP_TRY_ASSIGN(Vcpu vcpu, vm.create_vcpu(VcpuId(0)));
    VSMP_TRY(prepare(vcpu));
    Exit exit = vcpu.run();
    while (std::holds_alternative<InterruptedExit>(exit)) exit = vcpu.run();
    if (std::holds_alternative<WrMsrExit>(exit)) return DeadlineWrites::ours;
    if (std::holds_alternative<HltExit>(exit)) return DeadlineWrites::lost;
    const auto* failed = std::get_if<FailedExit>(&exit);
    return Error{
        "probing IA32_TSC_DEADLINE: " +
        (failed != nullptr ? failed->text : "unexpected exit " + std::to_string(exit.index()))};
}

}  // namespace vsmp::kvm
