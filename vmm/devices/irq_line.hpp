// One interrupt wire from a device to the interrupt controller.
#pragma once

#include <cstdint>
#include <functional>

namespace vsmp {

enum class Level : std::uint8_t { low, high };

// Called with the device lock held whenever the level changes (calling it again with the same
// level is harmless). Must not block.
using IrqLine = std::function<void(Level)>;

inline void pulse(const IrqLine& line) {
    line(Level::high);
    line(Level::low);
}

}  // namespace vsmp
