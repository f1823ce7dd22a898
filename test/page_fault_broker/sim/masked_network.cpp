#include <algorithm>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "network.hpp"
#include "page_fault_broker/core/message.hpp"
#include "test/fake_fabric.hpp"

namespace vsmp::coherence::sim {
namespace {

class MaskedNetwork final : public Network {
  public:
    MaskedNetwork(std::size_t nodes, const Wire& wire, std::uint64_t seed)
        : count_(nodes), wire_(wire), random_(seed), last_arrival_(nodes * nodes), free_(nodes) {
        for (std::size_t node = 0; node < nodes; ++node)
            ends_.push_back(std::make_unique<End>(*this, node));
    }

    fabric::Fabric& fabric(std::size_t node) override { return *ends_[node]; }
    std::optional<Instant> next(Instant now) override {
        now_ = now;
        if (flights_.empty()) return std::nullopt;
        return flights_.front().at;
    }
    void advance(Instant now, const Deliver& deliver) override {
        now_ = now;
        std::ranges::pop_heap(flights_, std::greater<>{});
        const Flight flight = std::move(flights_.back());
        flights_.pop_back();
        deliver(flight.to, NodeId{flight.from}, flight.bytes);
    }
    bool idle() const override { return flights_.empty(); }
    Traffic traffic() const override { return traffic_; }

  private:
    struct Flight {
        Instant at;
        std::uint64_t number = 0;  // orders what arrives at the same time
        std::uint8_t from = 0, to = 0;
        std::vector<std::byte> bytes;
        bool operator>(const Flight& o) const { return at != o.at ? at > o.at : number > o.number; }
    };

    // What a node sees.
    class End final : public test::SendOnlyFabric {
      public:
        End(MaskedNetwork& network, std::size_t self) : network_(network), self_(self) {}
        void send(NodeId to, fabric::Channel, ByteView head, ByteView body) override {
            network_.send(self_, to.value(), head, body);
        }

      private:
        MaskedNetwork& network_;
        std::size_t self_;
    };

    bool chance(double p) { return p > 0 && static_cast<double>(random_() % 1'000'000) < p * 1e6; }
    Duration up_to(Duration longest) {
        return longest <= Duration::zero()
                   ? Duration{}
                   : Duration{static_cast<Duration::rep>(
                         random_() % static_cast<std::uint64_t>(longest.count() + 1))};
    }
    void send(std::size_t from, std::size_t to, ByteView head, ByteView body) {
        const std::size_t size = fabric::kHeaderSize + head.size() + body.size();
        ++traffic_.messages;
        traffic_.bytes += size;
        if (head[0] == static_cast<std::byte>(MessageKind::invalidate)) ++traffic_.invalidations;
        free_[from] = std::max(free_[from], now_) +
                      wire_.per_kilobyte * static_cast<Duration::rep>(size) / 1024;
        Duration delay = wire_.latency + up_to(wire_.jitter);
        while (chance(wire_.loss)) delay += wire_.repair;
        Instant& arrival = last_arrival_[from * count_ + to];
        arrival = std::max(arrival, free_[from] + delay);
        Flight flight{arrival,
                      ++number_,
                      static_cast<std::uint8_t>(from),
                      static_cast<std::uint8_t>(to),
                      {head.begin(), head.end()}};
        flight.bytes.insert(flight.bytes.end(), body.begin(), body.end());
        flights_.push_back(std::move(flight));
        std::ranges::push_heap(flights_, std::greater<>{});
    }

    std::size_t count_;
    Wire wire_;
    std::mt19937_64 random_;
    Instant now_{};
    std::uint64_t number_ = 0;
    std::vector<std::unique_ptr<End>> ends_;
    std::vector<Flight> flights_;        // a heap, the next arrival first
    std::vector<Instant> last_arrival_;  // by sender and receiver
    std::vector<Instant> free_;          // when a sender's port has sent all it was given
    Traffic traffic_;
};

}  // namespace

std::unique_ptr<Network> masked_network(std::size_t nodes, const Wire& wire, std::uint64_t seed) {
    return std::make_unique<MaskedNetwork>(nodes, wire, seed);
}

}  // namespace vsmp::coherence::sim
