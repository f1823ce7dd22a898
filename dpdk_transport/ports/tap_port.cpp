#include "dpdk_transport/ports/tap_port.hpp"

#include <array>

namespace vsmp::fabric {
namespace {

std::chrono::nanoseconds wall_clock() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::system_clock::now().time_since_epoch());
}

class TapPort final : public Port {
  public:
    TapPort(std::unique_ptr<Port> port, std::unique_ptr<PcapngFile> file)
        : port_(std::move(port)), file_(std::move(file)) {}

    bool queue(const Header& header, ByteView body) override {
        std::array<std::byte, FrameStore::kHeaderRoom> room;
        const auto written = std::span{room}.first(header.size);
        header.write(written);
        if (!port_->queue_copy(written, body)) return false;
        file_->write(FrameDirection::outbound, wall_clock(), written, body);
        return true;
    }
    FrameStore* frame_store() override { return port_->frame_store(); }
    Kept queue_kept(const KeptFrame& frame, const Header& header, std::size_t size) override {
        const Kept kept = port_->queue_kept(frame, header, size);
        if (kept == Kept::queued)
            file_->write(FrameDirection::outbound, wall_clock(),
                         {frame.payload() - header.size, header.size + size}, {});
        return kept;
    }
    bool flush() override { return port_->flush(); }
    std::size_t receive(const Receive& receive) override {
        return port_->receive([&](ByteView frame) {
            file_->write(FrameDirection::inbound, wall_clock(), frame, {});
            receive(frame);
        });
    }
    int wakeup_fd() const override { return port_->wakeup_fd(); }
    bool arm_wakeup() override {
        file_->flush();
        return port_->arm_wakeup();
    }
    void disarm_wakeup() override { port_->disarm_wakeup(); }
    MacAddress mac() const override { return port_->mac(); }
    std::size_t mtu() const override { return port_->mtu(); }
    std::string name() const override { return port_->name(); }

  private:
    std::unique_ptr<Port> port_;
    std::unique_ptr<PcapngFile> file_;
};

}  // namespace

std::unique_ptr<Port> tap_port(std::unique_ptr<Port> port, std::unique_ptr<PcapngFile> file) {
    return std::make_unique<TapPort>(std::move(port), std::move(file));
}

}  // namespace vsmp::fabric
