// Interrupts on their way to a vCPU's local APIC, and the bounded place where they wait while the
// vCPU itself is on its way. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "proto/interrupt_words.hpp"

namespace vsmp::shipper {

enum class InterruptKind : std::uint8_t { fixed, nmi, init, sipi };

struct Interrupt {
    InterruptKind kind{};
    std::uint8_t vector = 0;          // fixed: 0..255; sipi: page of the start address; else 0
    Trigger trigger = Trigger::edge;  // fixed only
    friend bool operator==(const Interrupt&, const Interrupt&) = default;
};

// Holds interrupts the way a local APIC does: a vector is pending or not, so a second one of the
// same vector merges with the first. Never full.
class InterruptStash {
  public:
    void add(const Interrupt& interrupt);
    bool empty() const { return *this == InterruptStash{}; }

    // In the order they must be delivered in: INIT, SIPI, NMI, then vectors from high to low.
    template <class Deliver>
    void for_each(Deliver deliver) const {
        if (init_) deliver(Interrupt{InterruptKind::init});
        if (sipi_) deliver(Interrupt{InterruptKind::sipi, *sipi_});
        if (nmi_) deliver(Interrupt{InterruptKind::nmi});
        for (int vector = 255; vector >= 0; --vector) {
            const auto v = static_cast<std::uint8_t>(vector);
            if (test(pending_, v))
                deliver(Interrupt{InterruptKind::fixed, v,
                                  test(level_, v) ? Trigger::level : Trigger::edge});
        }
    }

    friend bool operator==(const InterruptStash&, const InterruptStash&) = default;

  private:
    using Bits = std::array<std::uint64_t, 4>;
    static bool test(const Bits& bits, std::uint8_t vector) {
        return (bits[vector / 64] >> (vector % 64) & 1) != 0;
    }

    Bits pending_{};
    Bits level_{};  // of the pending ones: triggered by level
    std::optional<std::uint8_t> sipi_;
    bool init_ = false, nmi_ = false;
};

}  // namespace vsmp::shipper
