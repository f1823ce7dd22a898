#include "vmm/devices/legacy_devices.hpp"

#include "vmm/devices/acpi_pm.hpp"
#include "vmm/devices/pic_stub.hpp"
#include "vmm/devices/pit.hpp"
#include "vmm/devices/platform_map.hpp"
#include "vmm/devices/reset_ports.hpp"
#include "vmm/devices/rtc.hpp"
#include "vmm/devices/uart16550.hpp"

namespace vsmp {
namespace {

class AssembledDevices final : public LegacyDevices {
  public:
    explicit AssembledDevices(LegacyDeviceHooks hooks)
        : io_apic_(std::move(hooks.interrupt)),
          uart_(std::move(hooks.console_output), pin(platform::kCom1Irq)),
          pit_(hooks.now, pin(platform::kPitPin)),
          pm_({hooks.now, pin(platform::kSciIrq), std::move(hooks.power_off)}),
          rtc_(std::move(hooks.wall_clock)),
          reset_control_(hooks.reset),
          i8042_(hooks.reset) {
        claim(mmio_, platform::kIoApicBase.value(), platform::kIoApicBytes, io_apic_);
        claim(ports_, platform::kPicMasterPort, 2, pic_master_);
        claim(ports_, platform::kPitPort, 4, pit_);
        claim(ports_, platform::kPortB, 1, port_b_);
        claim(ports_, platform::kI8042Port, 1, i8042_);
        claim(ports_, platform::kRtcPort, 2, rtc_);
        claim(ports_, platform::kDebugPort, 1, debug_);
        claim(ports_, platform::kPicSlavePort, 2, pic_slave_);
        claim(ports_, platform::kCom1Port, 8, uart_);
        claim(ports_, platform::kElcrPort, 2, elcr_);
        claim(ports_, platform::kPm1EventPort, AcpiPm::kPorts, pm_);
        claim(ports_, platform::kResetPort, 1, reset_control_);
    }

    IoBus& ports() override { return ports_; }
    IoBus& mmio() override { return mmio_; }

    void end_of_interrupt(std::uint8_t vector) override {
        std::lock_guard lock(mutex_);
        io_apic_.end_of_interrupt(vector);
    }

    std::size_t console_input(std::string_view bytes) override {
        std::lock_guard lock(mutex_);
        return uart_.receive(bytes);
    }

    std::size_t console_room() override {
        std::lock_guard lock(mutex_);
        return uart_.room();
    }

    void press_power_button() override {
        std::lock_guard lock(mutex_);
        pm_.press_power_button();
    }

    std::optional<Instant> next_deadline() override {
        std::lock_guard lock(mutex_);
        return pit_.next_deadline();
    }

    void expire(Instant now) override {
        std::lock_guard lock(mutex_);
        pit_.expire(now);
    }

  private:
    IrqLine pin(unsigned number) {
        return [this, number](Level level) { io_apic_.set_pin(number, level); };
    }

    static void claim(IoBus& bus, std::uint64_t base, std::uint64_t bytes, IoHandler& handler) {
        const Result<> claimed = bus.claim({base, bytes}, handler);
        VSMP_CHECK(bool(claimed), claimed.error().message);
    }

    std::mutex mutex_;
    IoBus ports_{mutex_};
    IoBus mmio_{mutex_};
    IoApic io_apic_;
    Uart16550 uart_;
    Pit pit_;
    PortB port_b_{pit_};
    PicStub pic_master_, pic_slave_;
    ElcrStub elcr_;
    AcpiPm pm_;
    Rtc rtc_;
    ResetControl reset_control_;
    I8042Reset i8042_;
    DebugPort debug_;
};

}  // namespace

std::unique_ptr<LegacyDevices> LegacyDevices::create(LegacyDeviceHooks hooks) {
    return std::make_unique<AssembledDevices>(std::move(hooks));
}

}  // namespace vsmp
