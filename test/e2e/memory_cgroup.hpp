// A memory control group of its own for a process, version 1 or 2, if this host lets us make one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "proto/result.hpp"

namespace vsmp::e2e {

class MemoryCgroup {
  public:
    // `name` is new. The error says why there can be none here.
    static Result<MemoryCgroup> create(const std::string& name, std::uint64_t limit_bytes);
    MemoryCgroup(MemoryCgroup&& other) noexcept;
    MemoryCgroup& operator=(MemoryCgroup&&) = delete;
    ~MemoryCgroup();  // its processes have ended

    // What the process allocates from now on is counted here.
    Result<void> add(pid_t process);
    std::uint64_t peak_bytes() const;  // 0: unknown
    std::uint64_t kills() const;       // by the kernel, for want of memory

  private:
    enum class Version : std::uint8_t { one, two };
    MemoryCgroup(std::filesystem::path folder, Version version)
        : folder_(std::move(folder)), version_(version) {}

    std::filesystem::path folder_;  // empty: moved from
    Version version_;
};

}  // namespace vsmp::e2e
