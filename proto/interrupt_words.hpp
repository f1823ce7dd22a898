// What an interrupt message says beside its vector: the same words in the local APICs, the I/O APIC
// and on the way of a vCPU that moves.
#pragma once

#include <cstdint>

namespace vsmp {

// Values as encoded in the interrupt command register (SDM vol. 3A 10.6.1) and in the I/O APIC's
// redirection table (82093AA datasheet, 3.2.4).
enum class DeliveryMode : std::uint8_t {
    fixed = 0,
    lowest_priority = 1,
    smi = 2,
    reserved_3 = 3,
    nmi = 4,
    init = 5,
    startup = 6,  // not used by an I/O APIC
    ext_int = 7,
};
enum class DestinationMode : std::uint8_t { physical, logical };
enum class Trigger : std::uint8_t { edge, level };

}  // namespace vsmp
