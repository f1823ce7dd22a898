// The two ports by which a PC is reset: 0xcf9 of the chipset, and the pulse command of the
// keyboard controller. Source: Intel ICH9 datasheet 13.7.5 (RST_CNT); IBM AT 8042 command 0xfe.
#pragma once

#include <cstdint>
#include <functional>

#include "vmm/devices/byte_device.hpp"

namespace vsmp {

// Port 0xcf9. Threads as IoHandler.
class ResetControl final : public ByteDevice {
  public:
    explicit ResetControl(std::function<void()> reset) : reset_(std::move(reset)) {}

  protected:
    std::uint8_t read_byte(std::uint64_t) override { return kind_; }
    void write_byte(std::uint64_t, std::uint8_t value) override {
        constexpr std::uint8_t kResetCpu = 0x04;
        kind_ = value & static_cast<std::uint8_t>(~kResetCpu);
        if ((value & kResetCpu) != 0) reset_();
    }

  private:
    std::function<void()> reset_;
    std::uint8_t kind_ = 0;
};

// Port 0x64 with no keyboard behind it: never busy, nothing to read. Threads as IoHandler.
class I8042Reset final : public ByteDevice {
  public:
    explicit I8042Reset(std::function<void()> reset) : reset_(std::move(reset)) {}

  protected:
    std::uint8_t read_byte(std::uint64_t) override { return 0; }
    void write_byte(std::uint64_t, std::uint8_t value) override {
        constexpr std::uint8_t kPulseReset = 0xfe;
        if (value == kPulseReset) reset_();
    }

  private:
    std::function<void()> reset_;
};

// Port 0x80: power-on codes and delays.
class DebugPort final : public ByteDevice {
  protected:
    std::uint8_t read_byte(std::uint64_t) override { return last_; }
    void write_byte(std::uint64_t, std::uint8_t value) override { last_ = value; }

  private:
    std::uint8_t last_ = 0;
};

}  // namespace vsmp
