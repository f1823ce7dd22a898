#include <fstream>
#include <functional>

#include "kvm_glue/deadline_msr.hpp"
#include "kvm_glue/kvm.hpp"
#include "kvm_glue/probe.hpp"
#include "vmm/cpu/cpuid.hpp"
#include "vmm/node/host_id.hpp"
#include "vmm/node/node.hpp"

namespace vsmp {

Result<NodeFacts> gather_node_facts() {
    const kvm::Facts facts = kvm::probe();
    if (kvm::usability(facts) == kvm::Usability::nothing) return Error{kvm::describe(facts)};
    VSMP_TRY_ASSIGN(const kvm::Kvm kvm, kvm::Kvm::open());
    VSMP_TRY_ASSIGN(std::vector<CpuidLeaf> cpuid, kvm.supported_cpuid());
    VSMP_TRY_ASSIGN(const kvm::DeadlineWrites writes, kvm::find_deadline_writes(kvm));
    cpu::set_deadline_timers(cpuid, writes == kvm::DeadlineWrites::ours
                                        ? cpu::DeadlineTimers::present
                                        : cpu::DeadlineTimers::absent);
    return NodeFacts{.host_kernel = facts.kernel_release,
                     .tsc_khz = facts.tsc_khz,
                     .nested_paging = facts.paging == kvm::Paging::nested,
                     .cpuid = std::move(cpuid)};
}

Result<std::uint64_t> host_id() {
    std::ifstream file{"/proc/sys/kernel/random/boot_id"};
    std::string boot_id;
    if (!std::getline(file, boot_id)) return Error{"/proc/sys/kernel/random/boot_id: unreadable"};
    return std::hash<std::string>{}(boot_id);
}

}  // namespace vsmp
