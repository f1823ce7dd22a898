// CRC-32C (Castagnoli; RFC 3720, appendix B.4), with the processor's instruction where it has one.
#pragma once

#include <cstdint>

#include "proto/bytes.hpp"

namespace vsmp::fabric {

class Checksum {
  public:
    void add(ByteView bytes);
    std::uint32_t value() const { return ~state_; }

  private:
    std::uint32_t state_ = ~std::uint32_t{0};
};

}  // namespace vsmp::fabric
