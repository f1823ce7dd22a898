#include "dpdk_transport/scheduling.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace vsmp::fabric {
namespace {

constexpr int kNice = -10;

// On Linux a nice value belongs to a thread (setpriority(2), "C library/kernel differences").
Result<> be_nice() {
    if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice) == 0) return {};
    return Error::from_errno("nice -10 for the data plane (needs CAP_SYS_NICE or RLIMIT_NICE)");
}

Result<> be_fifo() {
    sched_param parameters{};
    parameters.sched_priority = ::sched_get_priority_min(SCHED_FIFO);
    if (::sched_setscheduler(0, SCHED_FIFO, &parameters) == 0) return {};
    return Error::from_errno("SCHED_FIFO for the data plane (needs CAP_SYS_NICE or RLIMIT_RTPRIO)");
}

}  // namespace

Result<> schedule_this_thread(Scheduling scheduling) {
    switch (scheduling) {
        case Scheduling::normal:
            return {};
        case Scheduling::automatic:
            (void)be_nice();  // its failure is what automatic allows for
            return {};
        case Scheduling::nice:
            return be_nice();
        case Scheduling::fifo:
            return be_fifo();
    }
    VSMP_CHECK(false, "scheduling");
    return {};
}

}  // namespace vsmp::fabric
