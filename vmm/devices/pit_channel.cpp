#include "vmm/devices/pit_channel.hpp"

namespace vsmp {

void PitChannel::write_control(std::uint8_t word, Instant now) {
    const auto access = Access((word >> 4) & 3);
    if (access == Access::latch) {
        latch_count(now);
        return;
    }
    const unsigned mode = (word >> 1) & 7;
    mode_ = Mode(mode > 5 ? mode & 3 : mode);  // 6 and 7 are 2 and 3
    access_ = access;
    control_ = word & 0x3f;
    write_half_ = read_half_ = access == Access::high ? Half::high : Half::low;
    latched_count_.reset();
    latched_status_.reset();
    loaded_ = false;
    started_.reset();
    ticks_before_ = 0;
    rises_taken_ = 0;
}

void PitChannel::write_count(std::uint8_t value, Instant now) {
    switch (access_) {
        case Access::latch:
            break;
        case Access::low:
            load(value, now);
            break;
        case Access::high:
            load(static_cast<std::uint16_t>(value << 8), now);
            break;
        case Access::low_then_high:
            if (write_half_ == Half::low) {
                written_low_ = value;
                write_half_ = Half::high;
            } else {
                write_half_ = Half::low;
                load(static_cast<std::uint16_t>(value << 8 | written_low_), now);
            }
            break;
    }
}

void PitChannel::load(std::uint16_t value, Instant now) {
    reload_ = value;
    const bool first = !loaded_;
    loaded_ = true;
    if (gate_triggers() && !first) return;  // takes effect at the next trigger
    if (gate_triggers()) {
        started_.reset();  // waits for its first trigger
        return;
    }
    restart(now);
    if (gate_ == Level::low) started_.reset();
}

void PitChannel::restart(Instant now) {
    started_ = now;
    ticks_before_ = 0;
    rises_taken_ = 0;
}

std::uint64_t PitChannel::elapsed(Instant now) const {
    if (!started_ || now <= *started_) return ticks_before_;
    return ticks_before_ + kRate.ticks(now - *started_);
}

std::uint16_t PitChannel::count(Instant now) const {
    const std::uint64_t ticks = elapsed(now);
    switch (mode_) {
        case Mode::rate:
            return static_cast<std::uint16_t>(period() - ticks % period());
        case Mode::square_wave:  // counts by two, twice a period
            return static_cast<std::uint16_t>((period() - 2 * ticks % period()) & 0xfffe);
        case Mode::terminal_count:
        case Mode::one_shot:
        case Mode::software_strobe:
        case Mode::hardware_strobe:
            break;
    }
    return static_cast<std::uint16_t>(period() - ticks);  // runs on through 0xffff
}

Level PitChannel::out(Instant now) const {
    const std::uint64_t ticks = elapsed(now);
    const bool started = counting() || ticks_before_ > 0;
    bool high = true;
    switch (mode_) {
        case Mode::terminal_count:
            high = started && ticks >= period();
            break;
        case Mode::one_shot:
            high = !started || ticks >= period();
            break;
        case Mode::rate:
            high = !counting() || ticks % period() != period() - 1;
            break;
        case Mode::square_wave:
            high = !counting() || ticks % period() < (period() + 1) / 2;
            break;
        case Mode::software_strobe:
        case Mode::hardware_strobe:
            high = !started || ticks != period();
            break;
    }
    return high ? Level::high : Level::low;
}

void PitChannel::set_gate(Level level, Instant now) {
    if (level == gate_) return;
    gate_ = level;
    if (!loaded_) return;
    if (level == Level::high) {
        if (gate_triggers() || periodic())
            restart(now);
        else
            started_ = now;
    } else if (!gate_triggers()) {
        ticks_before_ = periodic() ? 0 : elapsed(now);
        started_.reset();
    }
}

void PitChannel::latch_count(Instant now) {
    if (latched_count_) return;  // until it is read
    latched_count_ = count(now);
    latch_half_ = access_ == Access::high ? Half::high : Half::low;
}

void PitChannel::latch_status(Instant now) {
    if (latched_status_) return;
    const unsigned null_count = loaded_ ? 0 : 0x40;
    const unsigned out_pin = out(now) == Level::high ? 0x80 : 0;
    latched_status_ = static_cast<std::uint8_t>(out_pin | null_count | control_);
}

std::uint8_t PitChannel::read(Instant now) {
    if (latched_status_) {
        const std::uint8_t status = *latched_status_;
        latched_status_.reset();
        return status;
    }
    if (!latched_count_) return next_half(read_half_, count(now));
    const bool last = access_ != Access::low_then_high || latch_half_ == Half::high;
    const std::uint8_t value = next_half(latch_half_, *latched_count_);
    if (last) latched_count_.reset();
    return value;
}

std::uint8_t PitChannel::next_half(Half& half, std::uint16_t value) const {
    const Half now_read = half;
    if (access_ == Access::low_then_high) half = half == Half::low ? Half::high : Half::low;
    return static_cast<std::uint8_t>(now_read == Half::low ? value : value >> 8);
}

std::optional<Instant> PitChannel::next_rise() const {
    if (!counting()) return std::nullopt;
    if (!periodic() && rises_taken_ > 0) return std::nullopt;
    // A strobe is low for one tick and rises after it.
    const bool strobe = mode_ == Mode::software_strobe || mode_ == Mode::hardware_strobe;
    const std::uint64_t at = (rises_taken_ + 1) * period() + (strobe ? 1 : 0);
    const std::uint64_t left = at > ticks_before_ ? at - ticks_before_ : 0;
    return *started_ + kRate.duration(left);
}

PitChannel::Rises PitChannel::take_rises(Instant now) {
    const std::optional<Instant> due = next_rise();
    if (!due || *due > now) return Rises::none;
    rises_taken_ = periodic() ? elapsed(now) / period() : 1;
    return Rises::some;
}

}  // namespace vsmp
