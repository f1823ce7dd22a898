// A PCI device driven by DPDK's own driver.
#include <filesystem>

#include "dpdk_transport/ports/dpdk_port.hpp"
#include "dpdk_transport/ports/openers.hpp"
#include "dpdk_transport/ports/pci_driver.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kRoom = 9216;
// Without interrupts: short against a remote fault, long against what looking once costs.
constexpr Duration kNap = std::chrono::microseconds(100);

}  // namespace

Result<PciDriver> pci_driver(const std::string& address) {
    const auto device = std::filesystem::path{"/sys/bus/pci/devices"} / address;
    if (address.empty() || !std::filesystem::exists(device))
        return Error{"PCI device " + address + " does not exist", ENODEV};
    std::error_code unbound;
    const std::string driver = std::filesystem::read_symlink(device / "driver", unbound).filename();
    if (driver == "vfio-pci") return PciDriver::vfio;
    if (driver == "uio_pci_generic" || driver == "igb_uio") return PciDriver::uio;
    return Error{"PCI device " + address + " is bound to " +
                 (driver.empty() ? "no driver" : "driver " + driver) +
                 ", not to vfio-pci or uio_pci_generic"};
}

Result<std::unique_ptr<Port>> open_pci(const std::shared_ptr<Eal>& eal, const PciOptions& options) {
    VSMP_TRY_ASSIGN(const PciDriver driver, pci_driver(options.address));
    VSMP_TRY_ASSIGN(UniqueFd lock, lock_port("PCI device " + options.address));
    VSMP_TRY_ASSIGN(std::unique_ptr<DpdkDevice> device,
                    DpdkDevice::find(eal, "pci", options.address));
    DpdkDevice::Setup setup{.buffers = 1536, .room = kRoom, .descriptors = 512, .mtu = kGoodMtu};
    setup.rx_interrupt = driver == PciDriver::vfio;
    VSMP_TRY(device->start(setup));
    auto sleeper = setup.rx_interrupt ? sleep_on_interrupt(device->port()) : sleep_on_timer(kNap);
    if (!sleeper) return sleeper.error();
    return std::unique_ptr<Port>{std::make_unique<DpdkPort>(std::move(device), *std::move(sleeper),
                                                            kGoodMtu, "PCI " + options.address,
                                                            std::move(lock))};
}

}  // namespace vsmp::fabric
