#include "dpdk_transport/ports/memory_port.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <utility>

#include "proto/fd.hpp"

namespace vsmp::fabric {
namespace {

using Bytes = std::vector<std::byte>;

MacAddress mac_of(std::size_t index) {
    // Locally administered, unicast.
    return MacAddress{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(index + 1)}};
}

// The wire: what waits at each port. Shared by the ports, locked.
class Segment {
  public:
    Segment(std::size_t count, MemorySegmentOptions options)
        : options_(std::move(options)), ends_(count) {
        for (End& end : ends_) {
            end.event = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
            VSMP_CHECK(end.event, "eventfd");
        }
    }

    void send(std::size_t from, const Bytes& frame) {
        const std::lock_guard lock{mutex_};
        MacAddress to;
        for (std::size_t i = 0; i < to.octets.size(); ++i)
            to.octets[i] = std::to_integer<std::uint8_t>(frame[i]);
        for (std::size_t i = 0; i < ends_.size(); ++i) {
            if (i == from || (to != kBroadcastMac && to != mac_of(i))) continue;
            std::size_t copies = options_.copies ? options_.copies(frame) : 1;
            for (; copies > 0 && ends_[i].frames.size() < options_.depth; --copies)
                ends_[i].frames.push_back(frame);
            ends_[i].waiting.store(ends_[i].frames.size(), std::memory_order_release);
            if (ends_[i].armed && !ends_[i].frames.empty()) signal(ends_[i]);
        }
    }

    std::vector<Bytes> take(std::size_t at, std::size_t limit) {
        // Who only polls does not keep senders from the lock.
        if (ends_[at].waiting.load(std::memory_order_acquire) == 0) return {};
        const std::lock_guard lock{mutex_};
        std::vector<Bytes> taken;
        auto& frames = ends_[at].frames;
        while (!frames.empty() && taken.size() < limit) {
            taken.push_back(std::move(frames.front()));
            frames.pop_front();
        }
        ends_[at].waiting.store(frames.size(), std::memory_order_release);
        return taken;
    }

    bool arm(std::size_t at) {
        const std::lock_guard lock{mutex_};
        ends_[at].armed = ends_[at].frames.empty();
        return ends_[at].armed;
    }

    void disarm(std::size_t at) {
        const std::lock_guard lock{mutex_};
        ends_[at].armed = false;
        std::uint64_t count = 0;
        // Nothing to read is the usual case: the descriptor does not block.
        if (::read(ends_[at].event.get(), &count, sizeof count) < 0)
            VSMP_CHECK(errno == EAGAIN, "reading an eventfd");
    }

    int event(std::size_t at) const { return ends_[at].event.get(); }
    std::size_t mtu() const { return options_.mtu; }

  private:
    struct End {
        std::deque<Bytes> frames;
        std::atomic<std::size_t> waiting = 0;  // frames.size(), for who does not hold the lock
        UniqueFd event;
        bool armed = false;
    };
    static void signal(End& end) {
        const std::uint64_t one = 1;
        VSMP_CHECK(::write(end.event.get(), &one, sizeof one) == sizeof one, "eventfd");
    }

    MemorySegmentOptions options_;
    std::mutex mutex_;
    std::vector<End> ends_;
};

class MemoryPort final : public Port {
  public:
    MemoryPort(std::shared_ptr<Segment> segment, std::size_t index)
        : segment_(std::move(segment)), index_(index) {}

    bool queue(const Header& header, ByteView body) override {
        if (burst_.size() == kBurst && !flush()) return false;
        Bytes frame(header.size);
        header.write(frame);
        frame.insert(frame.end(), body.begin(), body.end());
        VSMP_CHECK(frame.size() >= 14 && frame.size() <= segment_->mtu() + 14, "frame size");
        burst_.push_back(std::move(frame));
        return true;
    }

    bool flush() override {
        for (const Bytes& frame : burst_) segment_->send(index_, frame);
        burst_.clear();
        return true;
    }

    std::size_t receive(const Receive& receive) override {
        const auto frames = segment_->take(index_, kBurst);
        for (const Bytes& frame : frames) receive(frame);
        return frames.size();
    }

    int wakeup_fd() const override { return segment_->event(index_); }
    bool arm_wakeup() override { return segment_->arm(index_); }
    void disarm_wakeup() override { segment_->disarm(index_); }
    MacAddress mac() const override { return mac_of(index_); }
    std::size_t mtu() const override { return segment_->mtu(); }
    std::string name() const override { return "memory port " + std::to_string(index_); }

  private:
    std::shared_ptr<Segment> segment_;
    std::size_t index_;
    std::vector<Bytes> burst_;
};

}  // namespace

std::vector<std::unique_ptr<Port>> make_memory_segment(std::size_t count,
                                                       MemorySegmentOptions options) {
    VSMP_CHECK(count >= 2 && count <= 64, "ports of a segment");
    auto segment = std::make_shared<Segment>(count, std::move(options));
    std::vector<std::unique_ptr<Port>> ports;
    for (std::size_t i = 0; i < count; ++i)
        ports.push_back(std::make_unique<MemoryPort>(segment, i));
    return ports;
}

}  // namespace vsmp::fabric
