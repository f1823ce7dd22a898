// The local APIC's two register files: memory-mapped (xAPIC) and MSRs (x2APIC, 10.12).
#include <algorithm>

#include "vmm/cpu/apic_registers.hpp"
#include "vmm/cpu/lapic.hpp"

namespace vsmp::cpu {
namespace {

constexpr bool is_lvt(std::uint32_t offset) {
    return offset >= reg::kLvtTimer && offset <= reg::kLvtError && (offset & 0xf) == 0;
}

constexpr bool is_bank(std::uint32_t offset, std::uint32_t first) {
    return offset >= first && offset < first + 0x80 && (offset & 0xf) == 0;
}

}  // namespace

std::optional<std::uint32_t> LocalApic::read_plain(std::uint32_t offset, GuestTsc now) {
    if (is_bank(offset, reg::kIsr)) return in_service_.word((offset - reg::kIsr) >> 4);
    if (is_bank(offset, reg::kTmr)) return level_.word((offset - reg::kTmr) >> 4);
    if (is_bank(offset, reg::kIrr)) return requested_.word((offset - reg::kIrr) >> 4);
    if (is_lvt(offset)) return lvt_[reg::lvt_index(offset)];
    switch (offset) {
        case reg::kVersion:
            return reg::kVersionValue;
        case reg::kTpr:
            return tpr_;
        case reg::kPpr:
            return processor_priority();
        case reg::kLdr:
            return logical_destination();
        case reg::kSpurious:
            return spurious_;
        case reg::kErrorStatus:
            return error_status_;
        case reg::kInitialCount:
            return timer_.initial_count();
        case reg::kCurrentCount:
            return timer_.current_count(now);
        case reg::kDivideConfiguration:
            return timer_.divide_configuration();
    }
    return std::nullopt;
}

std::optional<ApicEffects> LocalApic::write_plain(std::uint32_t offset, std::uint32_t value,
                                                  GuestTsc now) {
    ApicEffects effects;
    if (is_lvt(offset)) {
        write_lvt(static_cast<Lvt>(reg::lvt_index(offset)), value);
        return effects;
    }
    switch (offset) {
        case reg::kTpr:
            tpr_ = static_cast<std::uint8_t>(value);
            return effects;
        case reg::kEoi:
            effects.eoi = end_of_interrupt();
            return effects;
        case reg::kSpurious:
            write_spurious(value);
            return effects;
        case reg::kErrorStatus:
            error_status_ = errors_seen_;
            errors_seen_ = 0;
            return effects;
        case reg::kInitialCount:
            timer_.set_initial_count(value, now);
            return effects;
        case reg::kDivideConfiguration:
            timer_.set_divide_configuration(value, now);
            return effects;
    }
    return std::nullopt;
}

void LocalApic::write_spurious(std::uint32_t value) {
    spurious_ = value & reg::kSpuriousMask;
    // 10.4.7.2: software-disabling masks every LVT entry.
    if (!software_enabled())
        for (std::uint32_t& entry : lvt_) entry |= reg::kLvtMasked;
}

void LocalApic::write_lvt(Lvt which, std::uint32_t value) {
    lvt_[which] = value & reg::lvt_writable(which);
    if (!software_enabled()) lvt_[which] |= reg::kLvtMasked;
    if (which != Lvt::timer) return;
    switch ((value & reg::kTimerModeMask) >> reg::kTimerModeShift) {
        case 0:
            return timer_.set_mode(TimerMode::one_shot);
        case 1:
            return timer_.set_mode(TimerMode::periodic);
        case 2:
            return timer_.set_mode(TimerMode::tsc_deadline);
    }
    // 3 is reserved: the timer stays as it is, and never reads as anything but a real mode.
    const auto mode = static_cast<std::uint32_t>(timer_.mode());
    lvt_[which] = (lvt_[which] & ~reg::kTimerModeMask) | mode << reg::kTimerModeShift;
}

// `command` is the ICR with the destination as this mode has it.
std::optional<Ipi> LocalApic::send(std::uint64_t command) {
    Ipi ipi;
    ipi.delivery = static_cast<DeliveryMode>(command >> 8 & 7);
    ipi.vector = static_cast<std::uint8_t>(command);
    ipi.shorthand = static_cast<Shorthand>(command >> 18 & 3);
    ipi.to.mode =
        (command & reg::kIcrLogical) != 0 ? DestinationMode::logical : DestinationMode::physical;
    const bool wide = mode() == ApicMode::x2apic;
    ipi.to.width = wide ? DestinationWidth::bits32 : DestinationWidth::bits8;
    ipi.to.id = static_cast<std::uint32_t>(command >> (wide ? 32 : 56));
    if (ipi.shorthand != Shorthand::none) ipi.to = {};

    switch (ipi.delivery) {
        case DeliveryMode::fixed:
        case DeliveryMode::lowest_priority:
            if (ipi.vector < 16) {
                note_error(reg::kSendIllegalVector);
                return std::nullopt;
            }
            if (ipi.shorthand != Shorthand::self) return ipi;
            accept(ipi.vector, Trigger::edge);
            return std::nullopt;
        case DeliveryMode::init:
            // The level de-assert of the MP start protocol does nothing since the Pentium 4.
            if ((command & reg::kIcrLevel) != 0 && (command & reg::kIcrAssert) == 0)
                return std::nullopt;
            return ipi;
        case DeliveryMode::nmi:
        case DeliveryMode::startup:
            return ipi;
        case DeliveryMode::smi:
        case DeliveryMode::reserved_3:
        case DeliveryMode::ext_int:
            break;
    }
    return std::nullopt;  // nobody has SMM or an 8259A here
}

std::uint32_t LocalApic::read_register(std::uint32_t offset, GuestTsc now) {
    if (mode() != ApicMode::xapic) return 0;
    advance(now);
    switch (offset) {
        case reg::kId:
            return std::uint32_t{id_.value()} << 24;
        case reg::kApr:
        case reg::kEoi:
            return 0;
        case reg::kDfr:
            return dfr_;
        case reg::kIcrLow:
            return static_cast<std::uint32_t>(command_);
        case reg::kIcrHigh:
            return static_cast<std::uint32_t>(command_ >> 32);
    }
    const auto value = read_plain(offset, now);
    if (!value) note_error(reg::kIllegalRegister);
    return value.value_or(0);
}

ApicEffects LocalApic::write_register(std::uint32_t offset, std::uint32_t value, GuestTsc now) {
    if (mode() != ApicMode::xapic) return {};
    advance(now);
    ApicEffects effects;
    switch (offset) {
        case reg::kLdr:
            ldr_ = value & 0xff000000;
            effects.address = address();
            return effects;
        case reg::kDfr:
            dfr_ = value | 0x0fffffff;
            effects.address = address();
            return effects;
        case reg::kIcrHigh:
            command_ = (command_ & 0xffffffff) | std::uint64_t{value & 0xff000000} << 32;
            return effects;
        case reg::kIcrLow:
            command_ = (command_ & ~std::uint64_t{0xffffffff}) | (value & reg::kIcrLowMask);
            effects.ipi = send(command_);
            return effects;
        case reg::kId:  // writable on some old parts; the ID is fixed here
            return effects;
    }
    auto plain = write_plain(offset, value, now);
    if (!plain) note_error(reg::kIllegalRegister);
    return plain.value_or(ApicEffects{});
}

std::optional<std::uint64_t> LocalApic::read_msr(std::uint32_t index, GuestTsc now) {
    advance(now);
    if (index == kTscDeadlineMsr) return timer_.deadline();
    if (mode() != ApicMode::x2apic) return std::nullopt;
    const std::uint32_t offset = (index - kX2apicFirstMsr) << 4;
    switch (offset) {
        case reg::kId:
            return id_.value();
        case reg::kIcrLow:
            return command_;
    }
    return read_plain(offset, now);
}

std::optional<ApicEffects> LocalApic::write_msr(std::uint32_t index, std::uint64_t value,
                                                GuestTsc now) {
    advance(now);
    ApicEffects effects;
    if (index == kTscDeadlineMsr) {
        timer_.set_deadline(value);
        return effects;
    }
    if (mode() != ApicMode::x2apic) return std::nullopt;
    const std::uint32_t offset = (index - kX2apicFirstMsr) << 4;

    // 10.12.1.3: setting a reserved bit raises #GP, and EOI and ESR take nothing but 0.
    std::uint64_t allowed = 0;
    if (is_lvt(offset)) allowed = reg::lvt_writable(reg::lvt_index(offset)) | reg::kLvtReadOnly;
    switch (offset) {
        case reg::kIcrLow:
            allowed = 0xffffffff00000000 | reg::kIcrLowMask | 0x1000;
            break;
        case reg::kSelfIpi:
        case reg::kTpr:
            allowed = 0xff;
            break;
        case reg::kSpurious:
            allowed = 0x3ff;
            break;
        case reg::kInitialCount:
            allowed = 0xffffffff;
            break;
        case reg::kDivideConfiguration:
            allowed = 0xb;
            break;
    }
    if ((value & ~allowed) != 0) return std::nullopt;

    if (offset == reg::kIcrLow) {
        command_ = value & ~std::uint64_t{0x1000};
        effects.ipi = send(command_);
        return effects;
    }
    if (offset == reg::kSelfIpi) {
        if (value < 16)
            note_error(reg::kSendIllegalVector);
        else
            accept(static_cast<std::uint8_t>(value), Trigger::edge);
        return effects;
    }
    return write_plain(offset, static_cast<std::uint32_t>(value), now);
}

}  // namespace vsmp::cpu
