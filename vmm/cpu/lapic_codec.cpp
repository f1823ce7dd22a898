// The local APIC's form on the wire.
#include "vmm/cpu/apic_registers.hpp"
#include "vmm/cpu/lapic.hpp"

namespace vsmp::cpu {
namespace {

void encode_set(const VectorSet& set, ByteWriter& to) {
    for (unsigned i = 0; i < 8; ++i) to.write(set.word(i));
}

VectorSet decode_set(ByteReader& from) {
    VectorSet set;
    for (unsigned i = 0; i < 8; ++i) set.set_word(i, from.read<std::uint32_t>());
    return set;
}

}  // namespace

void LocalApic::encode(ByteWriter& to) const {
    to.write(id_.value());
    to.write(static_cast<std::uint8_t>(role_));
    to.write(base_);
    to.write(tpr_);
    to.write(std::uint8_t{0});
    to.write(spurious_);
    to.write(ldr_);
    to.write(dfr_);
    to.write(std::uint32_t{0});
    for (const std::uint32_t entry : lvt_) to.write(entry);
    to.write(error_status_);
    to.write(errors_seen_);
    to.write(command_);
    encode_set(requested_, to);
    encode_set(in_service_, to);
    encode_set(level_, to);
    timer_.encode(to);
}

Result<LocalApic> LocalApic::decode(ByteReader& from) {
    const VcpuId id(from.read<std::uint16_t>());
    const auto role = from.read<std::uint8_t>();
    LocalApic apic(id, role == 0 ? ApicRole::bootstrap : ApicRole::application);
    apic.base_ = from.read<std::uint64_t>();
    apic.tpr_ = from.read<std::uint8_t>();
    const auto reserved_8 = from.read<std::uint8_t>();
    apic.spurious_ = from.read<std::uint32_t>();
    apic.ldr_ = from.read<std::uint32_t>();
    apic.dfr_ = from.read<std::uint32_t>();
    const auto reserved_32 = from.read<std::uint32_t>();
    for (std::uint32_t& entry : apic.lvt_) entry = from.read<std::uint32_t>();
    apic.error_status_ = from.read<std::uint32_t>();
    apic.errors_seen_ = from.read<std::uint32_t>();
    apic.command_ = from.read<std::uint64_t>();
    apic.requested_ = decode_set(from);
    apic.in_service_ = decode_set(from);
    apic.level_ = decode_set(from);
    VSMP_TRY_ASSIGN(apic.timer_, ApicTimer::decode(from));
    if (!from.ok()) return Error{"local APIC: too short"};

    constexpr std::uint32_t kErrors =
        reg::kSendIllegalVector | reg::kReceiveIllegalVector | reg::kIllegalRegister;
    const bool x2apic_alone =
        (apic.base_ & (reg::kBaseX2apic | reg::kBaseEnable)) == reg::kBaseX2apic;
    const bool timer_agrees =
        (apic.lvt_[Lvt::timer] & reg::kTimerModeMask) >> reg::kTimerModeShift ==
        static_cast<std::uint32_t>(apic.timer_.mode());
    bool lvt_possible = true;
    for (std::size_t i = 0; i < apic.lvt_.size(); ++i)
        lvt_possible = lvt_possible && (apic.lvt_[i] & ~reg::lvt_writable(i)) == 0;
    const bool possible = role <= 1 && reserved_8 == 0 && reserved_32 == 0 &&
                          id.value() < kMaxVcpus && !x2apic_alone && lvt_possible &&
                          (apic.spurious_ & ~reg::kSpuriousMask) == 0 &&
                          (apic.ldr_ & 0x00ffffff) == 0 && (apic.dfr_ & 0x0fffffff) == 0x0fffffff &&
                          ((apic.error_status_ | apic.errors_seen_) & ~kErrors) == 0 &&
                          timer_agrees && (apic.command_ & 0xffffffff & ~reg::kIcrLowMask) == 0 &&
                          ((apic.requested_.word(0) | apic.in_service_.word(0)) & 0xffff) == 0;
    if (!possible) return Error{"local APIC: impossible state"};
    return apic;
}

}  // namespace vsmp::cpu
