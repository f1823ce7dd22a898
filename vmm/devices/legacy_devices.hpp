// The platform devices of a guest, assembled: what node 0 gives to the vCPU exits.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "proto/time.hpp"
#include "vmm/devices/io_apic.hpp"
#include "vmm/devices/io_bus.hpp"
#include "vmm/devices/wall_time.hpp"

namespace vsmp {

// What the devices need from outside. All are called with the device lock held: they must not
// block and not call back into LegacyDevices.
struct LegacyDeviceHooks {
    std::function<Instant()> now;          // time of the guest; must not go backwards
    std::function<WallTime()> wall_clock;  // UTC
    InterruptSink interrupt;               // from the I/O APIC
    std::function<void(std::string_view)> console_output;
    std::function<void()> power_off;
    std::function<void()> reset;
};

// Threads: every member may be called from any thread; one mutex inside orders them.
class LegacyDevices {
  public:
    static std::unique_ptr<LegacyDevices> create(LegacyDeviceHooks hooks);
    virtual ~LegacyDevices() = default;

    virtual IoBus& ports() = 0;
    virtual IoBus& mmio() = 0;

    // EOI broadcast of a local APIC, for vectors that were level-triggered there.
    virtual void end_of_interrupt(std::uint8_t vector) = 0;

    // Returns how many bytes were taken; the rest does not fit the console's input queue now.
    virtual std::size_t console_input(std::string_view bytes) = 0;
    // Free room in the input queue.
    virtual std::size_t console_room() = 0;

    virtual void press_power_button() = 0;

    // Timers: call expire(now) at next_deadline() or soon after. The deadline may change whenever
    // the guest writes to a device, so ask again after each port write.
    virtual std::optional<Instant> next_deadline() = 0;
    virtual void expire(Instant now) = 0;
};

}  // namespace vsmp
