// Private to kvm_glue: ioctl(2) that reports the operation it was.
#pragma once

#include <sys/ioctl.h>

#include <cerrno>

#include "proto/result.hpp"

namespace vsmp::kvm {

// The result of ioctl(2), or the error with `operation` (its name in the API) in front.
template <class Argument>
Result<int> control(int fd, unsigned long request, const char* operation, Argument argument) {
    for (;;) {
        const int result = ::ioctl(fd, request, argument);
        if (result >= 0) return result;
        if (errno != EINTR) return Error::from_errno(operation);
    }
}

}  // namespace vsmp::kvm
