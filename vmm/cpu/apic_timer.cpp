#include "vmm/cpu/apic_timer.hpp"

namespace vsmp::cpu {

// 10.5.4, figure 10-10: bits 3, 1, 0 are the exponent minus one, and 7 means 1.
std::uint64_t ApicTimer::divisor() const {
    const unsigned exponent = (divide_configuration_ & 3u) | (divide_configuration_ >> 1 & 4u);
    return std::uint64_t{1} << ((exponent + 1) & 7);
}

void ApicTimer::set_mode(TimerMode mode) {
    if (mode == mode_) return;
    if (mode == TimerMode::tsc_deadline || mode_ == TimerMode::tsc_deadline) {
        expiry_.reset();
        initial_count_ = 0;
    }
    mode_ = mode;
}

void ApicTimer::set_divide_configuration(std::uint32_t value, GuestTsc now) {
    const std::uint64_t count = current_count(now);
    divide_configuration_ = static_cast<std::uint8_t>(value & 0xb);
    if (mode_ != TimerMode::tsc_deadline && expiry_)
        expiry_ = GuestTsc(now.value() + count * divisor());
}

void ApicTimer::set_initial_count(std::uint32_t count, GuestTsc now) {
    if (mode_ == TimerMode::tsc_deadline) return;
    initial_count_ = count;
    expiry_.reset();
    if (count != 0) expiry_ = GuestTsc(now.value() + count * divisor());
}

std::uint32_t ApicTimer::current_count(GuestTsc now) const {
    if (mode_ == TimerMode::tsc_deadline || !expiry_ || *expiry_ <= now) return 0;
    const std::uint64_t left = (expiry_->value() - now.value() + divisor() - 1) / divisor();
    // A TSC that was set back must not show a count above what was loaded.
    return left > initial_count_ ? initial_count_ : static_cast<std::uint32_t>(left);
}

std::uint64_t ApicTimer::deadline() const {
    return mode_ == TimerMode::tsc_deadline && expiry_ ? expiry_->value() : 0;
}

void ApicTimer::set_deadline(std::uint64_t tsc) {
    if (mode_ != TimerMode::tsc_deadline) return;
    expiry_.reset();
    if (tsc != 0) expiry_ = GuestTsc(tsc);
}

TimerEvent ApicTimer::take_expiry(GuestTsc now) {
    if (!expiry_ || now < *expiry_) return TimerEvent::none;
    switch (mode_) {
        case TimerMode::one_shot:
        case TimerMode::tsc_deadline:
            expiry_.reset();
            break;
        case TimerMode::periodic: {
            const std::uint64_t period = initial_count_ * divisor();
            const std::uint64_t passed = (now.value() - expiry_->value()) / period + 1;
            expiry_ = GuestTsc(expiry_->value() + passed * period);
            break;
        }
    }
    return TimerEvent::expired;
}

void ApicTimer::encode(ByteWriter& to) const {
    to.write(static_cast<std::uint8_t>(mode_));
    to.write(static_cast<std::uint8_t>(divide_configuration_ | (expiry_ ? 0x80 : 0)));
    to.write(initial_count_);
    to.write(std::uint32_t{0});
    to.write(expiry_ ? expiry_->value() : std::uint64_t{0});
}

Result<ApicTimer> ApicTimer::decode(ByteReader& from) {
    const auto mode = from.read<std::uint8_t>();
    const auto flags = from.read<std::uint8_t>();
    ApicTimer timer;
    timer.initial_count_ = from.read<std::uint32_t>();
    const auto reserved = from.read<std::uint32_t>();
    const auto expiry = from.read<std::uint64_t>();
    if (!from.ok()) return Error{"local APIC timer: too short"};
    if (mode > static_cast<std::uint8_t>(TimerMode::tsc_deadline) || (flags & 0x74) != 0 ||
        reserved != 0)
        return Error{"local APIC timer: impossible mode or divisor"};
    timer.mode_ = static_cast<TimerMode>(mode);
    timer.divide_configuration_ = flags & 0xb;
    if ((flags & 0x80) != 0) timer.expiry_ = GuestTsc(expiry);

    const bool deadline_mode = timer.mode_ == TimerMode::tsc_deadline;
    const bool plausible = timer.expiry_ ? deadline_mode == (timer.initial_count_ == 0)
                                         : expiry == 0 && !(deadline_mode && timer.initial_count_);
    // A running one-shot or periodic timer without a period would divide by zero.
    if (!plausible) return Error{"local APIC timer: count and expiry disagree"};
    return timer;
}

}  // namespace vsmp::cpu
