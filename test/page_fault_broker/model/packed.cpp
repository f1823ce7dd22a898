#include "packed.hpp"

namespace vsmp::coherence::model {
namespace {

class BitWriter {
  public:
    template <class T>
    void operator()(const T& value, unsigned bits) {
        const auto raw = static_cast<std::uint64_t>(value);
        VSMP_CHECK(raw >> bits == 0, "a field of the model does not fit");
        VSMP_CHECK(at_ + bits <= 64 * packed_.size(), "a world does not fit");
        packed_[at_ / 64] |= raw << at_ % 64;
        if (at_ % 64 + bits > 64) packed_[at_ / 64 + 1] |= raw >> (64 - at_ % 64);
        at_ += bits;
    }
    const Packed& packed() const { return packed_; }

  private:
    Packed packed_{};
    std::size_t at_ = 0;
};

class BitReader {
  public:
    explicit BitReader(const Packed& packed) : packed_(packed) {}
    template <class T>
    void operator()(T& value, unsigned bits) {
        std::uint64_t raw = packed_[at_ / 64] >> at_ % 64;
        if (at_ % 64 + bits > 64) raw |= packed_[at_ / 64 + 1] << (64 - at_ % 64);
        value = static_cast<T>(raw & ((std::uint64_t{1} << bits) - 1));
        at_ += bits;
    }

  private:
    const Packed& packed_;
    std::size_t at_ = 0;
};

template <class Bits, class Field>
void bit_of(Bits& bits, std::size_t position, Field& field) {
    int bit = bits >> position & 1;
    field(bit, 1);
    if constexpr (!std::is_const_v<Bits>) bits = static_cast<Bits>(bits | bit << position);
}

// Both directions from one list of fields: `field(value, bits)` writes or reads. W is World or
// const World.
template <class W, class Field>
void each_field(const Model& model, W& world, Field& field) {
    constexpr int kAckBias = kMaxModelNodes - 1;  // acks_missing may be below zero
    for (std::size_t page = 0; page < model.pages(); ++page) {
        for (std::size_t node = 0; node < model.nodes; ++node) {
            auto& local = world.local[node][page];
            field(local.permission, 2);
            field(local.request, 2);
            field(local.source, 1);
            field(local.releasing, 1);
            field(local.granted, 1);
            field(local.held, 1);
            field(local.deferred, 2);
            field(local.deferred_requester, 2);
            field(local.deferred_acks, 2);
            field(local.deferred_version, 1);
            int acks = local.acks_missing + kAckBias;
            field(acks, 3);
            if constexpr (!std::is_const_v<W>)
                local.acks_missing = static_cast<std::int16_t>(acks - kAckBias);
            field(world.current[node][page], 1);
            // Only vCPUs of the node itself can be among these.
            for (std::size_t v = 0; v < model.vcpus.size(); ++v) {
                if (model.vcpus[v] != node) continue;
                bit_of(world.claims[node][page], v, field);
                bit_of(world.holders[node][page], v, field);
            }
        }
        auto& home = world.home[page];
        field(home.sharers, 3);
        field(home.waiting_readers, 3);
        field(home.waiting_writers, 3);
        field(home.waiting_upgrades, 3);
        field(home.owner, 2);
        field(home.requester, 2);
        field(home.exclusive, 1);
        field(home.busy, 1);
        field(world.coming_home[page], 1);
    }
    field(world.evictions_left, 2);
    field(world.prefetches_left, 2);
    for (std::size_t v = 0; v < model.vcpus.size(); ++v) {
        auto& vcpu = world.vcpus[v];
        field(vcpu.left, 2);
        field(vcpu.instruction, 3);
        field(vcpu.waiting, 1);
        field(vcpu.waits_for, 1);
        field(vcpu.fault, 1);
        field(vcpu.fault_page, 1);
        field(vcpu.fault_access, 1);
    }
    field(world.message_count, 4);
    for (std::size_t i = 0; i < world.message_count; ++i) {
        auto& message = world.messages[i];
        field(message.from, 2);
        field(message.to, 2);
        field(message.kind, 4);
        field(message.page, 1);
        field(message.requester, 2);
        field(message.acks, 2);
        field(message.current, 1);
        field(message.offer, 1);
        field(message.same, 1);
    }
}

}  // namespace

Packed pack(const Model& model, const World& world) {
    BitWriter writer;
    each_field(model, world, writer);
    return writer.packed();
}

World unpack(const Model& model, const Packed& packed) {
    World world;
    BitReader reader{packed};
    each_field(model, world, reader);
    return world;
}

std::uint64_t hash(const Packed& packed) {
    std::uint64_t h = 0x9e3779b97f4a7c15;
    for (const std::uint64_t word : packed) {
        h = (h ^ word) * 0xff51afd7ed558ccd;
        h ^= h >> 32;
    }
    return h;
}

}  // namespace vsmp::coherence::model
