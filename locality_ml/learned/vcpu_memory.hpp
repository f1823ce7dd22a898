// What a vCPU has learned and takes along when it moves.
#pragma once

#include <cstdint>

#include "locality_ml/learned/linear_model.hpp"
#include "locality_ml/learned/situations.hpp"
#include "proto/bytes.hpp"

namespace vsmp::locality {

enum class Aim : std::uint8_t {
    gain,   // it waited less there before
    trial,  // it was not there yet, or in vain
};

// A ship under way, to be judged where it ends.
struct PendingShip {
    SituationKey key;  // tag 0: none
    ShipReason reason{};
    Aim aim{};
    float stall_before = 0;  // share of the time, where it came from
    float guess = 0;         // of the share there, before the regression's part
    Features x = Features::Zero();
};

struct VcpuMemory {
    LinearModel stay;  // residual of the expected stall share if it stays
    LinearModel go;    // the same if it goes
    Situations situations;
    PendingShip pending;
    float ship_credit = 0;  // ships it may make now; see learned.cpp
    float lost_us = 0;      // waited since it was last shipped; see Learned::tries()
    std::uint32_t ships = 0, explored = 0, phases = 0;
    std::uint8_t failed_spreads = 0;
    float fought = 0;  // share of its time that it waited while it fought: the most, fading
};

void encode(const VcpuMemory& memory, ByteWriter& to);
// False, and `memory` is as new, if the bytes are nonsense.
bool decode(ByteView bytes, VcpuMemory& memory);

}  // namespace vsmp::locality
