#include "vmm/cpu/lapic.hpp"

#include <algorithm>

#include "vmm/cpu/apic_registers.hpp"

namespace vsmp::cpu {
namespace {

constexpr unsigned kFirstLegalVector = 16;

unsigned priority_class(unsigned vector) {
    return vector >> 4;
}

std::uint8_t vector_of(std::uint32_t lvt_entry) {
    return static_cast<std::uint8_t>(lvt_entry);
}

}  // namespace

LocalApic::LocalApic(VcpuId id, ApicRole role)
    : id_(id),
      role_(role),
      base_(kApicPage.value() | reg::kBaseEnable |
            (role == ApicRole::bootstrap ? reg::kBaseBootstrap : 0)) {
    reset_registers();
}

void LocalApic::reset_registers() {
    tpr_ = 0;
    spurious_ = 0xff;
    ldr_ = 0;
    dfr_ = 0xffffffff;
    error_status_ = errors_seen_ = 0;
    command_ = 0;
    lvt_.fill(reg::kLvtMasked);
    requested_ = in_service_ = level_ = {};
    timer_ = {};
}

ApicEffects LocalApic::init() {
    reset_registers();
    ApicEffects effects;
    effects.address = address();
    return effects;
}

ApicMode LocalApic::mode() const {
    if ((base_ & reg::kBaseEnable) == 0) return ApicMode::disabled;
    return (base_ & reg::kBaseX2apic) != 0 ? ApicMode::x2apic : ApicMode::xapic;
}

ApicAddress LocalApic::address() const {
    return {mode(), id_.value(), logical_destination(), dfr_};
}

// 10.12.10.2: in x2APIC mode it follows from the ID.
std::uint32_t LocalApic::logical_destination() const {
    if (mode() != ApicMode::x2apic) return ldr_;
    const std::uint32_t id = id_.value();
    return (id >> 4) << 16 | 1u << (id & 0xf);
}

ApicEffects LocalApic::set_base(std::uint64_t value) {
    const ApicMode before = mode();
    base_ = value;
    if (mode() == before) return {};
    // 10.4.3: a disabled local APIC forgets; entering x2APIC mode keeps all but the logical ID.
    if (mode() == ApicMode::disabled) reset_registers();
    ApicEffects effects;
    effects.address = address();
    return effects;
}

bool LocalApic::software_enabled() const {
    return mode() != ApicMode::disabled && (spurious_ & reg::kSpuriousEnable) != 0;
}

void LocalApic::accept(std::uint8_t vector, Trigger trigger) {
    if (!software_enabled()) return;
    if (vector < kFirstLegalVector) return note_error(reg::kReceiveIllegalVector);
    requested_.set(vector);
    switch (trigger) {
        case Trigger::edge:
            level_.clear(vector);
            break;
        case Trigger::level:
            level_.set(vector);
            break;
    }
}

void LocalApic::note_error(std::uint32_t bit) {
    const bool news = (errors_seen_ & bit) == 0;
    errors_seen_ |= bit;
    const std::uint32_t entry = lvt_[Lvt::error];
    // An LVT whose own vector is illegal must not report itself for ever.
    if (news && (entry & reg::kLvtMasked) == 0 && software_enabled())
        accept(vector_of(entry), Trigger::edge);
}

void LocalApic::advance(GuestTsc now) {
    if (timer_.take_expiry(now) == TimerEvent::none) return;
    const std::uint32_t entry = lvt_[Lvt::timer];
    if ((entry & reg::kLvtMasked) == 0) accept(vector_of(entry), Trigger::edge);
}

std::optional<GuestTsc> LocalApic::next_deadline() const {
    const std::uint32_t entry = lvt_[Lvt::timer];
    const bool noticeable =
        software_enabled() && (entry & reg::kLvtMasked) == 0 && !requested_.test(vector_of(entry));
    return noticeable ? timer_.expiry() : std::nullopt;
}

// 10.8.3.1
std::uint8_t LocalApic::processor_priority() const {
    const unsigned serving = in_service_.highest().value_or(0);
    if (priority_class(tpr_) >= priority_class(serving)) return tpr_;
    return static_cast<std::uint8_t>(serving & 0xf0);
}

std::optional<std::uint8_t> LocalApic::injectable() const {
    const auto vector = requested_.highest();
    if (!vector || priority_class(*vector) <= priority_class(processor_priority()))
        return std::nullopt;
    return vector;
}

void LocalApic::begin_service(std::uint8_t vector) {
    VSMP_CHECK(requested_.test(vector), "an interrupt is served that nobody requested");
    requested_.clear(vector);
    in_service_.set(vector);
}

std::optional<std::uint8_t> LocalApic::end_of_interrupt() {
    const auto vector = in_service_.highest();
    if (!vector) return std::nullopt;
    in_service_.clear(*vector);
    return level_.test(*vector) ? vector : std::nullopt;
}

void LocalApic::set_cr8(std::uint8_t value) {
    if (value != cr8()) tpr_ = static_cast<std::uint8_t>(value << 4);
}

}  // namespace vsmp::cpu
