// A PCI device driven by DPDK's own driver.
#include "dpdk_transport/ports/dpdk_port.hpp"
#include "dpdk_transport/ports/openers.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kRoom = 9216;

}  // namespace

Result<std::unique_ptr<Port>> open_pci(const std::shared_ptr<Eal>& eal, const PciOptions& options) {
    VSMP_TRY_ASSIGN(UniqueFd lock, lock_port("PCI device " + options.address));
    VSMP_TRY_ASSIGN(std::unique_ptr<DpdkDevice> device,
                    DpdkDevice::find(eal, "pci", options.address));
    DpdkDevice::Setup setup{.buffers = 1536, .room = kRoom, .descriptors = 512, .mtu = kMinMtu};
    setup.rx_interrupt = true;
    VSMP_TRY(device->start(setup));
    VSMP_TRY_ASSIGN(std::unique_ptr<Sleeper> sleeper, sleep_on_interrupt(device->port()));
    return std::unique_ptr<Port>{std::make_unique<DpdkPort>(std::move(device), std::move(sleeper),
                                                            kMinMtu, "PCI " + options.address,
                                                            std::move(lock))};
}

}  // namespace vsmp::fabric
