// A pair of 8259A interrupt controllers as far as probing goes: initialisation is swallowed, the
// mask registers read back, nothing is ever requested or raised. The guest uses the I/O APIC.
// Source: Intel 8259A datasheet (231468-003).
#pragma once

#include <cstdint>

#include "vmm/devices/byte_device.hpp"

namespace vsmp {

// One of the two chips. Threads as IoHandler.
class PicStub final : public ByteDevice {
  protected:
    std::uint8_t read_byte(std::uint64_t offset) override;
    void write_byte(std::uint64_t offset, std::uint8_t value) override;

  private:
    std::uint8_t mask_ = 0xff;
    std::uint8_t init_words_left_ = 0;
};

// Edge/level control registers, 0x4d0 and 0x4d1: stored, read back.
class ElcrStub final : public ByteDevice {
  protected:
    std::uint8_t read_byte(std::uint64_t offset) override { return levels_[offset & 1]; }
    void write_byte(std::uint64_t offset, std::uint8_t value) override {
        levels_[offset & 1] = value;
    }

  private:
    std::uint8_t levels_[2]{};
};

}  // namespace vsmp
