// The bare port, and the fabric on a port.
#include <array>

#include "dpdk_transport/bench/wire.hpp"
#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "proto/polling_clock.hpp"

namespace vsmp::fabric {
namespace {

class BorrowedPort final : public Port {
  public:
    explicit BorrowedPort(Port& port) : port_(port) {}
    bool queue(const Header& header, ByteView body) override { return port_.queue(header, body); }
    FrameStore* frame_store() override { return port_.frame_store(); }
    Kept queue_kept(const KeptFrame& frame, const Header& header, std::size_t size) override {
        return port_.queue_kept(frame, header, size);
    }
    bool flush() override { return port_.flush(); }
    std::size_t receive(const Receive& receive) override { return port_.receive(receive); }
    int wakeup_fd() const override { return port_.wakeup_fd(); }
    bool arm_wakeup() override { return port_.arm_wakeup(); }
    void disarm_wakeup() override { port_.disarm_wakeup(); }
    MacAddress mac() const override { return port_.mac(); }
    std::size_t mtu() const override { return port_.mtu(); }
    std::string name() const override { return port_.name(); }

  private:
    Port& port_;
};

constexpr std::size_t kPadding = kHeaderSize - kEthernetHeaderSize;

class BarePort final : public Wire {
  public:
    BarePort(Port& port, const MacAddress& peer) : port_(port) {
        ByteWriter writer{header_};
        for (std::uint8_t octet : peer.octets) writer.write(octet);
        for (std::uint8_t octet : port.mac().octets) writer.write(octet);
        writer.write(static_cast<std::uint8_t>(kEtherType >> 8));
        writer.write(static_cast<std::uint8_t>(kEtherType & 0xff));
    }
    std::string name() const override { return "port"; }
    Delivery delivery() const override { return Delivery::lossy; }
    void begin(std::size_t message_size) override { size_ = message_size; }

    bool send(ByteView message) override { return port_.queue_copy(header_, message); }
    std::size_t poll(const Receive& receive) override {
        port_.flush();
        const std::size_t count = port_.receive([&](ByteView frame) {
            // Frames of the fabric, which shares the port, have another version than the zero here.
            if (frame.size() >= kHeaderSize + size_ && frame[kEthernetHeaderSize] == std::byte{0})
                receive(frame.subspan(kHeaderSize, size_));
        });
        if (count > 0) port_.flush();
        return count;
    }
    int wakeup_fd() const override { return port_.wakeup_fd(); }
    bool arm_wakeup() override { return port_.arm_wakeup(); }
    void disarm_wakeup() override { port_.disarm_wakeup(); }

  private:
    Port& port_;
    std::size_t size_ = 0;
    std::array<std::byte, kEthernetHeaderSize + kPadding> header_{};
};

class FabricWire final : public Wire {
  public:
    FabricWire(std::string name, std::unique_ptr<Fabric> fabric, int self)
        : name_(std::move(name)),
          fabric_(std::move(fabric)),
          peer_(static_cast<std::uint8_t>(1 - self)) {}
    std::string name() const override { return name_; }
    Delivery delivery() const override { return Delivery::reliable; }

    bool send(ByteView message) override {
        if (fabric_->congested()) return false;
        fabric_->send(peer_, Channel::test, message);
        return true;
    }
    std::size_t poll(const Receive& receive) override {
        const auto deliver = [&](NodeId, Channel, ByteView payload) { receive(payload); };
        const bool any = fabric_->poll(clock_.turn(), deliver);
        if (any) clock_.passed();
        return any ? 1 : 0;
    }
    // Acknowledgements wait for a millisecond at most; what is due later are signs of life.
    bool settled() const override {
        const auto next = fabric_->next_deadline();
        return fabric_->peer_state(peer_) == PeerState::up &&
               (!next || *next > monotonic_now() + std::chrono::milliseconds(2));
    }
    int wakeup_fd() const override { return fabric_->wakeup_fd(); }
    bool arm_wakeup() override { return fabric_->arm_wakeup(); }
    void disarm_wakeup() override {
        fabric_->disarm_wakeup();
        clock_.passed();
    }
    std::optional<Instant> next_deadline() const override { return fabric_->next_deadline(); }
    std::string problem() const override { return fabric_->peer_problem(peer_); }

  private:
    std::string name_;
    std::unique_ptr<Fabric> fabric_;
    NodeId peer_;
    PollingClock clock_;  // as the data plane has it
};

}  // namespace

std::unique_ptr<Wire> bare_port_wire(Port& port, const MacAddress& peer) {
    return std::make_unique<BarePort>(port, peer);
}

std::unique_ptr<Port> borrowed(Port& port) {
    return std::make_unique<BorrowedPort>(port);
}

Result<std::unique_ptr<Wire>> fabric_wire(const std::string& name, std::unique_ptr<Port> port,
                                          int self, std::unique_ptr<FrameSealer> sealer) {
    FabricOptions options;
    options.self = NodeId{static_cast<std::uint8_t>(self)};
    options.node_count = 2;
    options.guest = std::hash<std::string>{}(name);  // so that two on one port do not mix
    options.incarnation = random_incarnation();
    options.timing.connect_timeout = Duration::zero();
    std::vector<std::unique_ptr<Port>> ports;
    ports.push_back(std::move(port));
    VSMP_TRY_ASSIGN(std::unique_ptr<Fabric> fabric,
                    make_fabric(options, std::move(ports), std::move(sealer)));
    return std::unique_ptr<Wire>{std::make_unique<FabricWire>(name, std::move(fabric), self)};
}

}  // namespace vsmp::fabric
