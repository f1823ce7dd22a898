#include "vmm/devices/uart16550.hpp"

#include <algorithm>
#include <array>

namespace vsmp {
namespace {

constexpr std::size_t kFifoDepth = 16;

// Register offsets.
constexpr std::uint64_t kData = 0, kIer = 1, kIirFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6;

constexpr std::uint8_t kIerReceived = 0x01, kIerThrEmpty = 0x02, kIerLine = 0x04, kIerModem = 0x08;
constexpr std::uint8_t kIirNone = 0x01, kIirThrEmpty = 0x02, kIirReceived = 0x04, kIirLine = 0x06;
constexpr std::uint8_t kIirTimeout = 0x0c, kIirModem = 0x00, kIirFifos = 0xc0;
constexpr std::uint8_t kFcrEnable = 0x01, kFcrClearReceive = 0x02;
constexpr std::uint8_t kLcrDivisor = 0x80;
constexpr std::uint8_t kMcrDtr = 0x01, kMcrRts = 0x02, kMcrOut1 = 0x04, kMcrOut2 = 0x08;
constexpr std::uint8_t kMcrLoop = 0x10;
constexpr std::uint8_t kLsrData = 0x01, kLsrOverrun = 0x02, kLsrThrEmpty = 0x20, kLsrIdle = 0x40;
constexpr std::uint8_t kMsrCts = 0x10, kMsrDsr = 0x20, kMsrRing = 0x40, kMsrCarrier = 0x80;
constexpr std::uint8_t kMsrRingDelta = 0x04;

}  // namespace

Uart16550::Uart16550(Output output, IrqLine irq)
    : output_(std::move(output)), irq_(std::move(irq)) {}

bool Uart16550::divisor_latched() const {
    return (lcr_ & kLcrDivisor) != 0;
}
bool Uart16550::loopback() const {
    return (mcr_ & kMcrLoop) != 0;
}
bool Uart16550::fifo_enabled() const {
    return (fcr_ & kFcrEnable) != 0;
}

std::size_t Uart16550::receive(std::string_view bytes) {
    const std::size_t taken = std::min(bytes.size(), room());
    for (char c : bytes.substr(0, taken)) queue_.push_back(static_cast<std::uint8_t>(c));
    refill();
    update_irq();
    return taken;
}

std::uint8_t Uart16550::read_byte(std::uint64_t offset) {
    switch (offset) {
        case kData:
            return divisor_latched() ? divisor_low_ : take_received();
        case kIer:
            return divisor_latched() ? divisor_high_ : ier_;
        case kIirFcr:
            return read_iir();
        case kLcr:
            return lcr_;
        case kMcr:
            return mcr_;
        case kLsr: {
            const std::uint8_t status = line_status();
            overrun_ = 0;
            update_irq();
            return status;
        }
        case kMsr: {
            const auto status = static_cast<std::uint8_t>(modem_lines() | modem_deltas_);
            modem_deltas_ = 0;
            update_irq();
            return status;
        }
        default:
            return scratch_;
    }
}

void Uart16550::write_byte(std::uint64_t offset, std::uint8_t value) {
    switch (offset) {
        case kData:
            if (divisor_latched())
                divisor_low_ = value;
            else
                transmit(value);
            break;
        case kIer:
            if (divisor_latched())
                divisor_high_ = value;
            else
                write_ier(value);
            break;
        case kIirFcr:
            write_fcr(value);
            break;
        case kLcr:
            lcr_ = value;
            break;
        case kMcr:
            write_mcr(value);
            break;
        case kLsr:
        case kMsr:
            break;  // read-only in operation
        default:
            scratch_ = value;
            break;
    }
    update_irq();
}

std::uint8_t Uart16550::take_received() {
    if (fifo_.empty()) return 0;
    const std::uint8_t value = fifo_.front();
    fifo_.pop_front();
    refill();
    update_irq();
    return value;
}

void Uart16550::transmit(std::uint8_t value) {
    thr_interrupt_ = ThrInterrupt::pending;  // empty again at once
    if (!loopback()) {
        const char c = static_cast<char>(value);
        output_({&c, 1});
    } else if (fifo_.size() < (fifo_enabled() ? kFifoDepth : 1)) {
        fifo_.push_back(value);
    } else {
        overrun_ = kLsrOverrun;
    }
}

// Enabling the THR interrupt while THR is empty raises it, each time anew; drivers start their
// transmission this way and test for it.
void Uart16550::write_ier(std::uint8_t value) {
    const auto newly = static_cast<std::uint8_t>(value & ~ier_);
    if ((newly & kIerThrEmpty) != 0) thr_interrupt_ = ThrInterrupt::pending;
    ier_ = value & 0x0f;
}

void Uart16550::write_fcr(std::uint8_t value) {
    const bool toggled = ((value ^ fcr_) & kFcrEnable) != 0;
    if (toggled || (value & kFcrClearReceive) != 0) fifo_.clear();
    fcr_ = value & 0xc9;
    refill();
}

void Uart16550::write_mcr(std::uint8_t value) {
    const std::uint8_t before = modem_lines();
    mcr_ = value & 0x1f;
    const std::uint8_t after = modem_lines();
    auto deltas = static_cast<std::uint8_t>((before ^ after) >> 4);
    // The ring bit only tells a trailing edge.
    if ((after & kMsrRing) != 0) deltas &= static_cast<std::uint8_t>(~kMsrRingDelta);
    modem_deltas_ |= deltas;
    refill();
}

std::uint8_t Uart16550::read_iir() {
    const std::uint8_t id = interrupt_id();
    if (id == kIirThrEmpty) thr_interrupt_ = ThrInterrupt::idle;
    update_irq();
    return static_cast<std::uint8_t>(id | (fifo_enabled() ? kIirFifos : 0));
}

// In the order of the datasheet's priorities.
std::uint8_t Uart16550::interrupt_id() const {
    constexpr std::array<std::size_t, 4> kTriggers{1, 4, 8, 14};
    const std::size_t trigger = fifo_enabled() ? kTriggers[fcr_ >> 6] : 1;
    if ((ier_ & kIerLine) != 0 && overrun_ != 0) return kIirLine;
    if ((ier_ & kIerReceived) != 0 && fifo_.size() >= trigger) return kIirReceived;
    if ((ier_ & kIerReceived) != 0 && !fifo_.empty()) return kIirTimeout;
    if ((ier_ & kIerThrEmpty) != 0 && thr_interrupt_ == ThrInterrupt::pending) return kIirThrEmpty;
    if ((ier_ & kIerModem) != 0 && modem_deltas_ != 0) return kIirModem;
    return kIirNone;
}

std::uint8_t Uart16550::line_status() const {
    return static_cast<std::uint8_t>(kLsrThrEmpty | kLsrIdle | overrun_ |
                                     (fifo_.empty() ? 0 : kLsrData));
}

// The other end is always there: clear to send, data set ready, carrier.
std::uint8_t Uart16550::modem_lines() const {
    if (!loopback()) return kMsrCts | kMsrDsr | kMsrCarrier;
    return static_cast<std::uint8_t>(
        ((mcr_ & kMcrRts) != 0 ? kMsrCts : 0) | ((mcr_ & kMcrDtr) != 0 ? kMsrDsr : 0) |
        ((mcr_ & kMcrOut1) != 0 ? kMsrRing : 0) | ((mcr_ & kMcrOut2) != 0 ? kMsrCarrier : 0));
}

void Uart16550::refill() {
    const std::size_t depth = fifo_enabled() ? kFifoDepth : 1;
    while (!loopback() && !queue_.empty() && fifo_.size() < depth) {
        fifo_.push_back(queue_.front());
        queue_.pop_front();
    }
}

// OUT2 gates the interrupt on a PC; loopback forces it off.
void Uart16550::update_irq() {
    const bool gate_open = (mcr_ & kMcrOut2) != 0 && !loopback();
    irq_(gate_open && interrupt_id() != kIirNone ? Level::high : Level::low);
}

}  // namespace vsmp
