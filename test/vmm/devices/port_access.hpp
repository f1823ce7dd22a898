// A device on the test bench: typed accesses, a clock to turn and a wire to look at.
#pragma once

#include <array>
#include <vector>

#include "proto/time.hpp"
#include "vmm/devices/io_handler.hpp"
#include "vmm/devices/irq_line.hpp"

namespace vsmp {

template <class T = std::uint8_t>
T in(IoHandler& device, std::uint64_t offset) {
    std::array<std::byte, sizeof(T)> raw{};
    device.read(offset, raw);
    return ByteReader{raw}.read<T>();
}

template <class T = std::uint8_t>
void out(IoHandler& device, std::uint64_t offset, std::type_identity_t<T> value) {
    std::array<std::byte, sizeof(T)> raw{};
    ByteWriter{raw}.write(value);
    device.write(offset, raw);
}

struct Wire {
    Level level = Level::low;
    int rises = 0;
    IrqLine line() {
        return [this](Level now) {
            if (level == Level::low && now == Level::high) ++rises;
            level = now;
        };
    }
};

struct Clock {
    Instant now{std::chrono::seconds(1000)};
    std::function<Instant()> reader() {
        return [this] { return now; };
    }
};

}  // namespace vsmp
