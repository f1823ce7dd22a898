// Words of the local APIC that its state machine, the router and the runner share.
// Sources: SDM vol. 3A chapter 10 (APIC), APM vol. 2 chapter 16; section numbers are the SDM's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "proto/ids.hpp"
#include "proto/interrupt_words.hpp"
#include "vcpu_shipper/core/interrupt.hpp"

namespace vsmp::cpu {

using shipper::Interrupt;
using shipper::InterruptKind;
using shipper::InterruptStash;

// The guest's time-stamp counter: the one clock of everything here. It is the same on all nodes,
// so timers keep their deadlines when a vCPU is shipped.
using GuestTsc = Id<struct GuestTscTag, std::uint64_t>;

enum class Shorthand : std::uint8_t { none, self, all_including_self, all_excluding_self };

// How wide the destination field of the message was: its all-ones value means everybody.
enum class DestinationWidth : std::uint8_t {
    bits8,   // xAPIC, I/O APIC, MSI
    bits32,  // x2APIC
};

struct Destination {
    std::uint32_t id = 0;
    DestinationMode mode = DestinationMode::physical;
    DestinationWidth width = DestinationWidth::bits8;

    friend bool operator==(const Destination&, const Destination&) = default;
};

// What a local APIC sends to others (or, by shorthand, to itself too).
struct Ipi {
    DeliveryMode delivery = DeliveryMode::fixed;
    std::uint8_t vector = 0;  // startup: page number of the start address
    Shorthand shorthand = Shorthand::none;
    Destination to{};  // shorthand none

    friend bool operator==(const Ipi&, const Ipi&) = default;
};

enum class ApicMode : std::uint8_t { disabled, xapic, x2apic };

// What others must know of a local APIC to find out whether a message is for it (10.6.2).
struct ApicAddress {
    ApicMode mode = ApicMode::xapic;
    std::uint32_t id = 0;
    std::uint32_t ldr = 0;  // as the register reads in this mode
    std::uint32_t dfr = 0xffffffff;

    friend bool operator==(const ApicAddress&, const ApicAddress&) = default;
};

// A set of interrupt vectors laid out as IRR, ISR and TMR are: 32 vectors a register.
class VectorSet {
  public:
    bool test(std::uint8_t v) const { return (words_[v / 32] >> (v % 32) & 1) != 0; }
    void set(std::uint8_t v) { words_[v / 32] |= 1u << (v % 32); }
    void clear(std::uint8_t v) { words_[v / 32] &= ~(1u << (v % 32)); }
    std::optional<std::uint8_t> highest() const {
        for (int i = 7; i >= 0; --i) {
            const std::uint32_t word = words_[static_cast<unsigned>(i)];
            if (word != 0) return static_cast<std::uint8_t>(i * 32 + 31 - __builtin_clz(word));
        }
        return std::nullopt;
    }
    std::uint32_t word(unsigned i) const { return words_[i]; }
    void set_word(unsigned i, std::uint32_t value) { words_[i] = value; }

    friend bool operator==(const VectorSet&, const VectorSet&) = default;

  private:
    std::array<std::uint32_t, 8> words_{};
};

}  // namespace vsmp::cpu
