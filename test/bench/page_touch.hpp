// Random touches: 8 bytes at a time, each address known only when the touch before it is done.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "proto/result.hpp"

namespace vsmp::bench {

// `memory`: all zero, a power of two bytes, at most 512 MiB. Nanoseconds a touch.
double touch_here(std::span<std::byte> memory, std::uint64_t touches);
// The same in a guest with one vCPU that has `memory` in 2 MiB pages of its own page tables.
class TouchingGuest {
  public:
    // `memory` outlives the guest. The first touches make KVM map what it will.
    static Result<TouchingGuest> start(std::span<std::byte> memory, std::uint64_t touches);
    TouchingGuest(TouchingGuest&&) noexcept;
    ~TouchingGuest();
    Result<double> touch(std::uint64_t touches);

  private:
    struct Parts;
    explicit TouchingGuest(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace vsmp::bench
