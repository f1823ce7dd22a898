#include "proto/fd.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace vsmp {

UniqueFd::~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
}

Result<Mapping> Mapping::shared(int fd, std::size_t size, std::size_t offset) {
    const int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, static_cast<off_t>(offset));
    if (at == MAP_FAILED) return Error::from_errno("mmap");
    return Mapping{std::span{static_cast<std::byte*>(at), size}};
}

Mapping::~Mapping() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace vsmp
