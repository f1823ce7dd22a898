#include "vmm/node/policy_trace.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "locality_ml/trace.hpp"
#include "proto/fd.hpp"

namespace vsmp {

Result<std::unique_ptr<locality::Policy>> record_if_asked(std::unique_ptr<locality::Policy> policy,
                                                          const locality::PolicySetup& setup,
                                                          const std::string& name,
                                                          unsigned ordinal) {
    const char* directory = std::getenv("VSMP_LOCALITY_TRACE");
    if (!directory || *directory == '\0') return policy;
    std::string file = std::string{directory} + "/node-" + std::to_string(setup.self.value());
    if (ordinal > 1) file += '.' + std::to_string(ordinal);
    file += ".trace";
    auto fd = std::make_shared<UniqueFd>(
        ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!*fd) return Error::from_errno("open " + file);
    // A full disk ends the trace, not the guest: what is cut off is read up to there.
    const auto sink = [fd](ByteView bytes) {
        if (!*fd) return;
        if (::write(fd->get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
            *fd = UniqueFd{};
    };
    return locality::make_recording(std::move(policy), {setup, name}, sink);
}

}  // namespace vsmp
