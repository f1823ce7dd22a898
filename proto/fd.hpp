// Owners of file descriptors and mappings.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "proto/result.hpp"

namespace vsmp {

class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~UniqueFd();

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

// A mapped range, unmapped on destruction.
class Mapping {
  public:
    Mapping() = default;
    // mmap(2) of `size` bytes of `fd` (or anonymous memory for fd -1) at `offset`, read-write.
    static Result<Mapping> shared(int fd, std::size_t size, std::size_t offset = 0);
    Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~Mapping();

    std::span<std::byte> bytes() const { return bytes_; }
    std::byte* data() const { return bytes_.data(); }
    std::size_t size() const { return bytes_.size(); }

  private:
    explicit Mapping(std::span<std::byte> bytes) : bytes_(bytes) {}
    std::span<std::byte> bytes_;
};

}  // namespace vsmp
