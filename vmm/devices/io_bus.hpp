// An address space of devices: the 64 Ki ports, or the MMIO part of guest physical memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "proto/result.hpp"
#include "vmm/devices/io_handler.hpp"

namespace vsmp {

struct IoRange {
    std::uint64_t base = 0;
    std::uint64_t bytes = 0;
};

// Threads: read and write may be called from any thread; the mutex makes devices single-threaded.
// Several buses may share one mutex, so that a device reachable from both needs no lock of its own.
class IoBus {
  public:
    explicit IoBus(std::mutex& devices) : devices_(devices) {}

    // The handler must outlive the bus. An error names the range that is already taken.
    Result<> claim(IoRange range, IoHandler& handler);

    // Unclaimed addresses read as all ones and swallow writes, and are counted. An access that
    // starts in a range and runs past its end is unclaimed as a whole.
    void read(std::uint64_t address, std::span<std::byte> out);
    void write(std::uint64_t address, ByteView data);

    std::uint64_t unclaimed_accesses() const { return unclaimed_.load(std::memory_order_relaxed); }

  private:
    struct Claim {
        std::uint64_t bytes = 0;
        IoHandler* handler = nullptr;
    };
    struct Hit {
        IoHandler* handler = nullptr;
        std::uint64_t offset = 0;
    };
    Hit find(std::uint64_t address, std::size_t bytes) const;

    std::mutex& devices_;
    std::map<std::uint64_t, Claim> claims_;  // by base
    std::atomic<std::uint64_t> unclaimed_ = 0;
};

}  // namespace vsmp
