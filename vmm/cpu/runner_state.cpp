#include "vmm/cpu/runner_state.hpp"

#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::cpu {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kSize = 2 + LocalApic::kEncodedSize;
static_assert(kSize <= shipper::kMaxLocalApicBytes);

std::optional<Activity> to_activity(std::uint8_t raw) {
    const auto activity = static_cast<Activity>(raw);
    switch (activity) {
        case Activity::wait_for_sipi:
        case Activity::running:
        case Activity::halted:
            return activity;
        case Activity::parked:
        case Activity::ended:
            break;
    }
    return std::nullopt;
}

}  // namespace

std::vector<std::byte> encode_runner_state(const RunnerState& state) {
    std::vector<std::byte> bytes(kSize);
    ByteWriter to(bytes);
    to.write(kVersion);
    to.write(static_cast<std::uint8_t>(state.activity));
    state.apic.encode(to);
    VSMP_CHECK(to.size() == kSize, "the encoded local APIC has another size than it says");
    return bytes;
}

Result<RunnerState> decode_runner_state(ByteView bytes) {
    ByteReader from(bytes);
    const auto version = from.read<std::uint8_t>();
    const auto activity = to_activity(from.read<std::uint8_t>());
    if (!from.ok() || version != kVersion) return Error{"vCPU run state: unknown version"};
    if (!activity) return Error{"vCPU run state: impossible activity"};
    VSMP_TRY_ASSIGN(LocalApic apic, LocalApic::decode(from));
    if (!from.at_end()) return Error{"vCPU run state: too long"};
    return RunnerState{*activity, apic};
}

}  // namespace vsmp::cpu
