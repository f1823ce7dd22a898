// Luggage: version u8, then the fields in order; floats as the bits of IEEE 754 binary32.
#include "locality_ml/learned/vcpu_memory.hpp"

#include <bit>
#include <cmath>

namespace vsmp::locality {
namespace {

constexpr std::uint8_t kVersion = 3;

// One function names each field for both directions, so that they cannot differ.
struct Writer {
    ByteWriter& to;
    void operator()(float value) { to.write(std::bit_cast<std::uint32_t>(value)); }
    template <class T>
    requires std::is_unsigned_v<T>
    void operator()(T value) { to.write(value); }
};
struct Reader {
    ByteReader& from;
    bool sane = true;
    void operator()(float& value) {
        value = std::bit_cast<float>(from.read<std::uint32_t>());
        // Whatever is learned is of the order of 1; counts and budgets stay below 1e6.
        if (!std::isfinite(value) || std::abs(value) > 1e6F) sane = false;
    }
    template <class T>
    requires std::is_unsigned_v<T>
    void operator()(T& value) { value = from.read<T>(); }
};

template <class Codec, class F>
void features(Codec& codec, F& x) {
    for (int i = 0; i < kFeatures; ++i) codec(x[i]);
}

template <class Codec, class O>
void outcome(Codec& codec, O& o) {
    codec(o.count);
    codec(o.stall);
    codec(o.useful_us);
    codec(o.stays);
    codec(o.stay_stall);
    codec(o.failures);
}

template <class Codec, class M>
void rest(Codec& codec, M& memory) {
    for (auto& slot : memory.situations.slots()) {
        codec(slot.key.tag);
        outcome(codec, slot.outcome);
    }
    for (auto& node : memory.situations.nodes()) outcome(codec, node);
    codec(memory.pending.key.tag);
    codec(memory.pending.stall_before);
    codec(memory.pending.guess);
    features(codec, memory.pending.x);
    codec(memory.ship_credit);
    codec(memory.lost_us);
    codec(memory.ships);
    codec(memory.explored);
    codec(memory.phases);
    codec(memory.failed_spreads);
    codec(memory.fought);
}

void encode_model(const LinearModel& model, Writer& codec) {
    Features weights = model.weights(), variances = model.variances();
    features(codec, weights);
    features(codec, variances);
    codec(model.error());
    codec(model.error_of_zero());
}

void decode_model(LinearModel& model, Reader& codec) {
    Features weights, variances;
    features(codec, weights);
    features(codec, variances);
    float error = 0, error_of_zero = 0;
    codec(error);
    codec(error_of_zero);
    if (codec.sane) model.restore(weights, variances, error, error_of_zero);
}

constexpr std::size_t kSize = 1 + 2 * (8 * kFeatures + 8) + Situations::kSlots * 26 +
                              Situations::kNodes * 24 + 1 + 2 + 8 + 4 * kFeatures + 8 + 12 + 6;
static_assert(kSize <= kMaxLuggage);

}  // namespace

void encode(const VcpuMemory& memory, ByteWriter& to) {
    to.write(kVersion);
    Writer codec{to};
    encode_model(memory.stay, codec);
    encode_model(memory.go, codec);
    to.write(static_cast<std::uint8_t>(memory.pending.reason));
    to.write(static_cast<std::uint8_t>(memory.pending.aim));
    rest(codec, memory);
}

bool decode(ByteView bytes, VcpuMemory& memory) {
    memory = {};
    ByteReader reader{bytes};
    if (bytes.size() != kSize || reader.read<std::uint8_t>() != kVersion) return false;
    Reader codec{reader};
    decode_model(memory.stay, codec);
    decode_model(memory.go, codec);
    const auto reason = reader.read<std::uint8_t>();
    const auto aim = reader.read<std::uint8_t>();
    rest(codec, memory);
    const bool good = codec.sane && reader.ok() && reader.at_end() &&
                      reason <= static_cast<std::uint8_t>(ShipReason::spread) &&
                      aim <= static_cast<std::uint8_t>(Aim::trial);
    if (!good) {
        memory = {};
        return false;
    }
    memory.pending.reason = static_cast<ShipReason>(reason);
    memory.pending.aim = static_cast<Aim>(aim);
    return true;
}

}  // namespace vsmp::locality
