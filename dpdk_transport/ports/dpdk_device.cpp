#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <atomic>

#include "dpdk_transport/ports/dpdk_port.hpp"

namespace vsmp::fabric {
namespace {

constexpr unsigned kPoolCache = 128;
constexpr std::uint16_t kQueue = 0;

std::string with_reason(const std::string& what, const std::string& reason) {
    return reason.empty() ? what : what + ": " + reason;
}

}  // namespace

std::string unique_device_name(const std::string& driver) {
    // DPDK keeps a table of names per process; this follows it.
    static std::atomic<unsigned> next{0};
    return driver + std::to_string(next++);
}

Result<std::unique_ptr<DpdkDevice>> DpdkDevice::add(const std::shared_ptr<Eal>& eal,
                                                    const std::string& bus, const std::string& name,
                                                    const std::string& arguments) {
    eal->take_log_line();
    const int status = rte_eal_hotplug_add(bus.c_str(), name.c_str(), arguments.c_str());
    if (status != 0) {
        const std::string line = eal->take_log_line();
        return Error{
            with_reason("DPDK does not open " + name, line.empty() ? rte_strerror(-status) : line),
            -status};
    }
    return find(eal, bus, name);
}

Result<std::unique_ptr<DpdkDevice>> DpdkDevice::find(const std::shared_ptr<Eal>& eal,
                                                     const std::string& bus,
                                                     const std::string& name) {
    std::uint16_t port = 0;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0)
        return Error{with_reason("DPDK has no port " + name, eal->take_log_line()), ENODEV};
    return std::unique_ptr<DpdkDevice>{new DpdkDevice{eal, bus, name, port}};
}

Error DpdkDevice::failed(const std::string& operation, int code) const {
    const std::string line = eal_->take_log_line();
    return {with_reason(operation + " for " + name_, line.empty() ? rte_strerror(-code) : line),
            -code};
}

Result<> DpdkDevice::start(const Setup& setup) {
    eal_->take_log_line();
    // Last in, first out, so that what is used again is still in the processor's caches.
    pool_ = rte_pktmbuf_pool_create_by_ops(
        name_.c_str(), static_cast<unsigned>(setup.buffers), kPoolCache, 0,
        static_cast<std::uint16_t>(setup.room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY, "stack");
    if (pool_ == nullptr) return failed("no memory for frame buffers", -rte_errno);

    rte_eth_conf configuration{};
    configuration.intr_conf.rxq = setup.rx_interrupt ? 1 : 0;
    configuration.rxmode.mtu = setup.mtu;
    if (int code = rte_eth_dev_configure(port_, 1, 1, &configuration); code != 0)
        return failed("rte_eth_dev_configure", code);
    std::uint16_t rx = setup.descriptors, tx = setup.descriptors;
    if (int code = rte_eth_dev_adjust_nb_rx_tx_desc(port_, &rx, &tx); code != 0)
        return failed("rte_eth_dev_adjust_nb_rx_tx_desc", code);
    const auto socket = static_cast<unsigned>(SOCKET_ID_ANY);
    if (int code = rte_eth_rx_queue_setup(port_, kQueue, rx, socket, nullptr, pool_); code != 0)
        return failed("rte_eth_rx_queue_setup", code);
    if (int code = rte_eth_tx_queue_setup(port_, kQueue, tx, socket, nullptr); code != 0)
        return failed("rte_eth_tx_queue_setup", code);
    if (int code = rte_eth_dev_start(port_); code != 0) return failed("rte_eth_dev_start", code);
    started_ = true;
    // Where a port cannot switch them off, the fabric's own filter has the last word.
    rte_eth_promiscuous_disable(port_);
    rte_eth_allmulticast_disable(port_);
    return {};
}

void DpdkDevice::discard(std::size_t most) const {
    std::array<rte_mbuf*, Port::kBurst> frames;
    for (std::size_t discarded = 0; discarded < most;) {
        const std::uint16_t count = rte_eth_rx_burst(port_, kQueue, frames.data(), frames.size());
        if (count == 0) return;
        rte_pktmbuf_free_bulk(frames.data(), count);
        discarded += count;
    }
}

DpdkDevice::~DpdkDevice() {
    before_close_();
    if (started_) rte_eth_dev_stop(port_);
    rte_eth_dev_close(port_);
    rte_eal_hotplug_remove(bus_.c_str(), name_.c_str());
    rte_mempool_free(pool_);
}

}  // namespace vsmp::fabric
