#include "dpdk_transport/ports/fanout_salt.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace {

thread_local pid_t fanout_salt = 0;

}  // namespace

// Takes the place of libc's for this process and its shared libraries (CMakeLists.txt exports it).
extern "C" pid_t getpid() noexcept {
    return static_cast<pid_t>(::syscall(SYS_getpid)) ^ fanout_salt;
}

namespace vsmp::fabric {

FanoutSalt::FanoutSalt(pid_t salt) {
    fanout_salt = salt;
}
FanoutSalt::~FanoutSalt() {
    fanout_salt = 0;
}

}  // namespace vsmp::fabric
