// What a device answers to on an IoBus.
#pragma once

#include <cstdint>
#include <span>

#include "proto/bytes.hpp"

namespace vsmp {

// Threads: called with the bus's lock held, so never two calls at once for devices of one bus.
// Must not block and must not call the bus. Offsets count from the start of the range claimed;
// an access never reaches past the range. Sizes are what the guest asked for: 1, 2, 4 or 8 bytes.
class IoHandler {
  public:
    virtual ~IoHandler() = default;
    virtual void read(std::uint64_t offset, std::span<std::byte> out) = 0;
    virtual void write(std::uint64_t offset, ByteView data) = 0;
};

}  // namespace vsmp
