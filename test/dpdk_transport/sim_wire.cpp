#include "test/dpdk_transport/sim_wire.hpp"

#include <sys/eventfd.h>

#include <algorithm>

#include "dpdk_transport/core/frame.hpp"
#include "test/dpdk_transport/lending_store.hpp"

namespace vsmp::fabric {
namespace {

MacAddress mac_of(std::size_t node) {
    return MacAddress{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(node + 1)}};
}

constexpr std::uint8_t kAnswerNow = 4;  // the flag of a retransmission

}  // namespace

class SimPort final : public Port {
  public:
    SimPort(SimWire& wire, std::size_t node, std::size_t segment)
        : wire_(wire), node_(node), segment_(segment) {}

    bool queue(const Header& header, ByteView body) override {
        std::vector<std::byte> written(header.size);
        header.write(written);
        send(written, body);
        return true;
    }
    FrameStore* frame_store() override { return &store_; }
    Kept queue_kept(const KeptFrame& frame, const Header& header, std::size_t size) override {
        if (frame.store() != &store_) return Kept::copy_needed;
        const ByteView sent = store_.lend(frame, header, size);
        if (sent.empty()) return Kept::copy_needed;
        send(sent, {});
        return Kept::queued;
    }
    bool flush() override { return true; }
    std::size_t receive(const Receive& receive) override {
        return wire_.receive(wire_.index(node_, segment_), receive);
    }
    int wakeup_fd() const override { return wire_.ends_[wire_.index(node_, segment_)].event.get(); }
    bool arm_wakeup() override { return true; }
    void disarm_wakeup() override {}
    MacAddress mac() const override { return mac_of(node_); }
    std::size_t mtu() const override { return wire_.options_.mtus[segment_]; }
    std::string name() const override { return "segment " + std::to_string(segment_); }

  private:
    void send(ByteView header, ByteView body) {
        VSMP_CHECK(header.size() + body.size() <= mtu() + kEthernetHeaderSize, "frame size");
        wire_.send(node_, segment_, header, body);
    }

    SimWire& wire_;
    std::size_t node_, segment_;
    LendingStore store_;
};

SimWire::SimWire(const Options& options, std::uint64_t seed)
    : options_(options), random_(seed), ends_(options.nodes * options.segments) {
    options_.mtus.resize(options.segments, 9000);
    options_.carries.resize(options.segments, 9000);
    for (End& end : ends_) end.event = UniqueFd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

std::unique_ptr<Port> SimWire::port(std::size_t node, std::size_t segment) {
    return std::make_unique<SimPort>(*this, node, segment);
}

void SimWire::cut(std::size_t node, std::size_t segment, bool is_cut) {
    ends_[index(node, segment)].cut = is_cut;
}

void SimWire::crash(std::size_t node) {
    for (std::size_t segment = 0; segment < options_.segments; ++segment) {
        End& end = ends_[index(node, segment)];
        end.frames.clear();
        end.first_copies = 0;
    }
}

Duration SimWire::up_to(Duration longest) {
    if (longest <= Duration::zero()) return {};
    return Duration{std::uniform_int_distribution<Duration::rep>{0, longest.count()}(random_)};
}

SimWire::Bytes SimWire::buffer() {
    if (spare_.empty()) return {};
    Bytes bytes = std::move(spare_.back());
    spare_.pop_back();
    return bytes;
}

void SimWire::fly(std::size_t end, ByteView header, ByteView body, Copy copy) {
    Duration delay = weather_.latency + up_to(weather_.jitter);
    if (chance(weather_.delayed)) delay += up_to(weather_.long_delay);
    Flight flight{now_ + delay, ++flights_, static_cast<std::uint32_t>(end), copy, buffer()};
    flight.bytes.assign(header.begin(), header.end());
    flight.bytes.insert(flight.bytes.end(), body.begin(), body.end());
    if (chance(weather_.damaged)) {
        ++counts_.damaged;
        // Not the EtherType: what is not ours at all is another test's.
        const std::size_t bits = 8 * (flight.bytes.size() - kEthernetHeaderSize);
        const std::size_t bit = 8 * kEthernetHeaderSize + random_() % bits;
        flight.bytes[bit / 8] ^= std::byte{1} << bit % 8;
    }
    wire_.push_back(std::move(flight));
    std::push_heap(wire_.begin(), wire_.end(), std::greater<>{});
}

void SimWire::send(std::size_t node, std::size_t segment, ByteView header, ByteView body) {
    const bool to_all = header[0] == std::byte{0xff};
    const auto only = std::to_integer<std::size_t>(header[5]) - 1;
    const bool is_data = header[field::kKind] == std::byte{3};
    const bool again = (header[field::kFlags] & std::byte{kAnswerNow}) != std::byte{0};
    for (std::size_t to = 0; to < options_.nodes; ++to) {
        if (to == node || (!to_all && to != only)) continue;
        ++counts_.frames;
        if (header.size() + body.size() > options_.carries[segment] + kEthernetHeaderSize) {
            ++counts_.swallowed;
            continue;
        }
        if (ends_[index(node, segment)].cut || ends_[index(to, segment)].cut ||
            chance(weather_.loss)) {
            ++counts_.lost;
            continue;
        }
        fly(index(to, segment), header, body, is_data && !again ? Copy::first : Copy::again);
        if (chance(weather_.doubled)) fly(index(to, segment), header, body, Copy::again);
    }
}

std::optional<Instant> SimWire::next_arrival() const {
    if (wire_.empty()) return std::nullopt;
    return wire_.front().at;
}

void SimWire::advance(Instant now) {
    now_ = std::max(now_, now);
    while (!wire_.empty() && wire_.front().at <= now_) {
        std::pop_heap(wire_.begin(), wire_.end(), std::greater<>{});
        Flight flight = std::move(wire_.back());
        wire_.pop_back();
        End& end = ends_[flight.end];
        if (end.frames.size() >= options_.ring) {
            ++counts_.overrun;
            spare_.push_back(std::move(flight.bytes));
            continue;
        }
        if (flight.copy == Copy::first) most_waiting_ = std::max(most_waiting_, ++end.first_copies);
        end.frames.push_back({flight.copy, std::move(flight.bytes)});
    }
}

bool SimWire::anything_waits(std::size_t node) const {
    for (std::size_t segment = 0; segment < options_.segments; ++segment)
        if (!ends_[index(node, segment)].frames.empty()) return true;
    return false;
}

std::size_t SimWire::receive(std::size_t index, const Port::Receive& receive) {
    End& end = ends_[index];
    std::size_t count = 0;
    for (; count < Port::kBurst && !end.frames.empty(); ++count) {
        Waiting waiting = std::move(end.frames.front());
        end.frames.pop_front();
        if (waiting.copy == Copy::first) --end.first_copies;
        receive(waiting.bytes);
        spare_.push_back(std::move(waiting.bytes));
    }
    return count;
}

}  // namespace vsmp::fabric
