// Base of devices with 8-bit registers: a wider access touches consecutive ports, low byte first,
// as the ISA bus splits it.
#pragma once

#include "vmm/devices/io_handler.hpp"

namespace vsmp {

class ByteDevice : public IoHandler {
  public:
    void read(std::uint64_t offset, std::span<std::byte> out) final {
        for (std::byte& b : out) b = std::byte{read_byte(offset++)};
    }
    void write(std::uint64_t offset, ByteView data) final {
        for (std::byte b : data) write_byte(offset++, std::to_integer<std::uint8_t>(b));
    }

  protected:
    virtual std::uint8_t read_byte(std::uint64_t offset) = 0;
    virtual void write_byte(std::uint64_t offset, std::uint8_t value) = 0;
};

}  // namespace vsmp
