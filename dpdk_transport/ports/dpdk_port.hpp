// What all ports of DPDK have in common. Internal to dpdk_transport/ports.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dpdk_transport/eal.hpp"
#include "dpdk_transport/port.hpp"
#include "proto/fd.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

struct rte_mempool;
struct rte_mbuf;

namespace vsmp::fabric {

// A device that EAL has been told to drive, and gives up on destruction. Not movable: ports hold it
// by unique_ptr.
class DpdkDevice {
  public:
    // `arguments` as in --vdev. May block for virtio_user in server mode.
    static Result<std::unique_ptr<DpdkDevice>> add(const std::shared_ptr<Eal>& eal,
                                                   const std::string& bus, const std::string& name,
                                                   const std::string& arguments);
    // A PCI device that EAL probed when it started.
    static Result<std::unique_ptr<DpdkDevice>> find(const std::shared_ptr<Eal>& eal,
                                                    const std::string& bus,
                                                    const std::string& name);
    DpdkDevice(const DpdkDevice&) = delete;
    DpdkDevice& operator=(const DpdkDevice&) = delete;
    ~DpdkDevice();

    std::uint16_t port() const { return port_; }
    // Room for frames of `room` bytes, one queue each way.
    struct Setup {
        std::size_t buffers = 1024;
        std::size_t room = 0;
        std::uint16_t descriptors = 512;
        std::uint16_t mtu = 0;  // 0: the device's own
        bool rx_interrupt = false;
    };
    Result<> start(const Setup& setup);
    // Throws away what has come since it started, `most` frames at most.
    void discard(std::size_t most) const;
    // What a driver needs done first when the device is closed.
    void before_close(std::function<void()> act) { before_close_ = std::move(act); }
    rte_mempool* pool() const { return pool_; }
    const std::shared_ptr<Eal>& eal() const { return eal_; }

  private:
    DpdkDevice(std::shared_ptr<Eal> eal, std::string bus, std::string name, std::uint16_t port)
        : eal_(std::move(eal)), bus_(std::move(bus)), name_(std::move(name)), port_(port) {}
    Error failed(const std::string& operation, int code) const;

    std::shared_ptr<Eal> eal_;
    std::string bus_, name_;
    std::uint16_t port_;
    std::function<void()> before_close_ = [] {};
    rte_mempool* pool_ = nullptr;
    bool started_ = false;
};

// A name for a virtual device that no other of this process has.
std::string unique_device_name(const std::string& driver);

// How a port sleeps: on a descriptor that is always ready when frames are (af_packet), on an
// interrupt that has to be switched on first, or for a short while.
class Sleeper {
  public:
    virtual ~Sleeper() = default;
    virtual int fd() const = 0;
    virtual void arm() = 0;
    virtual void disarm() = 0;
    virtual void on_traffic() {}  // frames came or went
};
std::unique_ptr<Sleeper> sleep_on_socket(int socket);  // not owned
Result<std::unique_ptr<Sleeper>> sleep_on_interrupt(std::uint16_t port);
// Of a vhost client: while its server is away, it is also woken to look for it again.
Result<std::unique_ptr<Sleeper>> sleep_on_vhost_client(std::uint16_t port);
// Looks again after `shortest`, twice as long each time while there is no traffic, up to `longest`,
// less than a second.
Result<std::unique_ptr<Sleeper>> sleep_on_timer(Duration shortest, Duration longest);

// Frame buffers of a device in which messages wait and stay until they are acknowledged.
class DpdkFrameStore final : public FrameStore {
  public:
    explicit DpdkFrameStore(rte_mempool* pool) : pool_(pool) {}
    // The pool's frames are large enough.
    bool fits() const;
    Slot take() override;
    void give_back(void* handle) override;

  private:
    // What is left of the pool is for the device's rings and for frames that are copied.
    static constexpr std::size_t kMost = 256;
    rte_mempool* pool_;
    std::size_t taken_ = 0;
};

class DpdkPort final : public Port {
  public:
    DpdkPort(std::unique_ptr<DpdkDevice> device, std::unique_ptr<Sleeper> sleeper, std::size_t mtu,
             std::string name, UniqueFd lock);
    ~DpdkPort() override;

    bool queue(const Header& header, ByteView body) override;
    FrameStore* frame_store() override { return store_.fits() ? &store_ : nullptr; }
    Kept queue_kept(const KeptFrame& frame, const Header& header, std::size_t size) override;
    bool flush() override;
    std::size_t receive(const Receive& receive) override;
    int wakeup_fd() const override { return sleeper_->fd(); }
    bool arm_wakeup() override;
    void disarm_wakeup() override { sleeper_->disarm(); }
    MacAddress mac() const override { return mac_; }
    std::size_t mtu() const override { return mtu_; }
    std::string name() const override { return name_; }

  private:
    void know_this_thread();
    bool has_room();
    void hand_over(rte_mbuf* frame, const Receive& receive);

    UniqueFd lock_;  // keeps other nodes off the port; outlives the device
    std::unique_ptr<DpdkDevice> device_;
    std::unique_ptr<Sleeper> sleeper_;
    DpdkFrameStore store_;
    MacAddress mac_;
    std::size_t mtu_;
    std::string name_;
    std::array<rte_mbuf*, kBurst> unsent_{};
    std::uint16_t unsent_count_ = 0;
    bool thread_is_known_ = false;
    std::array<rte_mbuf*, kBurst> early_{};  // found while arming
    std::uint16_t early_count_ = 0;
    std::vector<std::byte> flat_;  // for a frame in several segments
};

}  // namespace vsmp::fabric
