#include "vmm/node/short_slices.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace vsmp {
namespace {

constexpr std::uint64_t kSlice_ns = 100'000;  // the least that Linux accepts

// include/uapi/linux/sched/types.h, first version; glibc has it from 2.41 on.
struct SchedAttributes {
    std::uint32_t size = sizeof(SchedAttributes);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0;
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
};

}  // namespace

void ask_for_short_slices() {
    if (::sched_getscheduler(0) != SCHED_OTHER) return;  // somebody wanted something else
    SchedAttributes attributes;
    attributes.nice = ::getpriority(PRIO_PROCESS, 0);
    attributes.runtime = kSlice_ns;
    (void)::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace vsmp
