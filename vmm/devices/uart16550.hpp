// 16550A serial port. Source: National Semiconductor PC16550D datasheet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>

#include "vmm/devices/byte_device.hpp"
#include "vmm/devices/irq_line.hpp"

namespace vsmp {

// Transmission takes no time: a byte written to THR goes to the sink at once and THR is empty
// again. Received bytes wait in a bounded queue until the 16-byte FIFO has room, so input is never
// overrun. The receive time-out interrupt needs no clock: it is due as soon as the FIFO holds less
// than its trigger level. Baud rate and framing are stored and not simulated.
// Threads as IoHandler.
class Uart16550 final : public ByteDevice {
  public:
    using Output = std::function<void(std::string_view)>;
    static constexpr std::size_t kInputLimit = 4096;

    Uart16550(Output output, IrqLine irq);

    // Takes as much as fits and returns how many bytes that were.
    std::size_t receive(std::string_view bytes);
    std::size_t room() const { return kInputLimit - queue_.size(); }

  protected:
    std::uint8_t read_byte(std::uint64_t offset) override;
    void write_byte(std::uint64_t offset, std::uint8_t value) override;

  private:
    enum class ThrInterrupt : std::uint8_t { idle, pending };

    bool divisor_latched() const;
    bool loopback() const;
    bool fifo_enabled() const;
    std::uint8_t take_received();
    std::uint8_t read_iir();
    std::uint8_t interrupt_id() const;
    std::uint8_t line_status() const;
    std::uint8_t modem_lines() const;
    void transmit(std::uint8_t value);
    void write_ier(std::uint8_t value);
    void write_fcr(std::uint8_t value);
    void write_mcr(std::uint8_t value);
    void refill();
    void update_irq();

    Output output_;
    IrqLine irq_;
    std::deque<std::uint8_t> queue_;  // input that the FIFO has no room for yet
    std::deque<std::uint8_t> fifo_;
    std::uint8_t ier_ = 0, fcr_ = 0, lcr_ = 0, mcr_ = 0, scratch_ = 0;
    std::uint8_t modem_deltas_ = 0;
    std::uint8_t overrun_ = 0;  // LSR bit, set by loopback only
    std::uint8_t divisor_low_ = 1, divisor_high_ = 0;
    ThrInterrupt thr_interrupt_ = ThrInterrupt::idle;
};

}  // namespace vsmp
