#include "test/dpdk_transport/sim_cluster.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace vsmp::fabric {
namespace {

constexpr std::size_t kHead = 20;  // size of what each message starts with
constexpr std::array<Channel, 6> kChannels{Channel::coherence, Channel::vcpu, Channel::locality,
                                           Channel::page,      Channel::test, Channel::clock};

// The contents of every message: bytes that count up from its number.
const std::vector<std::byte>& pattern() {
    static const std::vector<std::byte> bytes = [] {
        std::vector<std::byte> made(kMaxPayload + 256);
        for (std::size_t i = 0; i < made.size(); ++i) made[i] = static_cast<std::byte>(i & 0xff);
        return made;
    }();
    return bytes;
}
ByteView contents(std::uint32_t number, std::size_t size) {
    return ByteView{pattern()}.subspan(number & 0xff, size);
}

}  // namespace

SimCluster::SimCluster(const SimWire::Options& wire, const LinkTiming& timing, const SimLoad& load,
                       std::uint64_t seed)
    : wire_options_(wire),
      timing_(timing),
      load_(load),
      count_(wire.nodes),
      random_(seed),
      wire_(wire, random_()),
      nodes_(wire.nodes),
      sending_(wire.nodes * wire.nodes),
      receiving_(wire.nodes * wire.nodes) {
    for (std::size_t node = 0; node < count_; ++node) start(node);
}

void SimCluster::start(std::size_t node) {
    std::vector<std::unique_ptr<Port>> ports;
    for (std::size_t segment = 0; segment < wire_options_.segments; ++segment)
        ports.push_back(wire_.port(node, segment));
    FabricOptions options;
    options.self = NodeId{static_cast<std::uint8_t>(node)};
    options.node_count = count_;
    options.guest = 4711;
    options.incarnation = nodes_[node].incarnation = static_cast<std::uint32_t>(random_() | 1);
    options.integrity = Integrity::checksum;
    options.timing = timing_;
    nodes_[node].fabric = *make_fabric(options, std::move(ports));
}

void SimCluster::complain(std::string what) {
    if (problem_.empty()) problem_ = std::move(what);
}

void SimCluster::restart(std::size_t node) {
    wire_.crash(node);
    for (std::size_t other = 0; other < count_; ++other) {
        if (other == node) continue;
        before_ += nodes_[node].fabric->counters(NodeId{static_cast<std::uint8_t>(other)});
        sending(node, other) = Sending{.life = sending(node, other).life + 1};
        receiving(other, node) = Receiving{.life = receiving(other, node).life};
    }
    ++lives_;
    start(node);
}

void SimCluster::reconnect_lost(std::size_t node) {
    for (std::size_t other = 0; other < count_; ++other) {
        const NodeId id{static_cast<std::uint8_t>(other)};
        if (other == node || nodes_[node].fabric->peer_state(id) != PeerState::lost) continue;
        nodes_[node].fabric->reconnect(id);
        ++lives_;
        sending(node, other) = Sending{.life = sending(node, other).life + 1};
    }
}

void SimCluster::send_one(std::size_t node, std::size_t to, Sending& sending) {
    const bool node_stream = random_() % 16 == 0;
    const Channel channel = node_stream ? Channel::device : kChannels[random_() % kChannels.size()];
    const auto stream = static_cast<std::size_t>(stream_of(channel));
    const double kind = std::uniform_real_distribution<>{}(random_);
    std::size_t size = random_() % 64;
    if (kind < load_.largest)
        size = kMaxPayload - kHead;
    else if (kind < load_.largest + load_.pages)
        size = kPageSize;
    std::array<std::byte, kHead> head;
    ByteWriter writer{head};
    const std::uint32_t number = sending.by_stream[stream]++;
    writer.write(sending.life);
    writer.write(static_cast<std::uint32_t>(stream));
    writer.write(number);
    writer.write(sending.by_stream[static_cast<std::size_t>(Stream::node)]);
    writer.write(static_cast<std::uint32_t>(size));
    nodes_[node].fabric->send(NodeId{static_cast<std::uint8_t>(to)}, channel, head,
                              contents(number, size));
    ++sending.sent;
}

void SimCluster::feed(std::size_t node) {
    for (std::size_t to = 0; to < count_; ++to) {
        if (to == node) continue;
        Sending& out = sending(node, to);
        for (int i = 0; i < 32 && out.sent < load_.messages; ++i) {
            if (nodes_[node].fabric->congested()) return;
            send_one(node, to, out);
        }
    }
}

void SimCluster::check(std::size_t from, std::size_t at, Channel channel, ByteView payload) {
    ByteReader reader{payload};
    const auto life = reader.read<std::uint32_t>();
    const auto stream = reader.read<std::uint32_t>();
    const auto number = reader.read<std::uint32_t>();
    const auto node_messages = reader.read<std::uint32_t>();
    const auto size = reader.read<std::uint32_t>();
    Receiving& in = receiving(from, at);
    const std::string where = "life " + std::to_string(life) + " message " +
                              std::to_string(number) + " of stream " + std::to_string(stream);
    if (!reader.ok() || size != reader.remaining() ||
        stream != static_cast<std::uint32_t>(stream_of(channel)))
        return complain(where + " is damaged");
    if (life < in.life) return complain(where + " is of an earlier life");
    if (life > in.life) in = Receiving{.life = life};
    if (number != in.by_stream[stream])
        return complain(where + " came when " + std::to_string(in.by_stream[stream]) + " was due");
    ++in.by_stream[stream];
    if (node_messages > in.by_stream[static_cast<std::size_t>(Stream::node)])
        return complain(where + " overtook the node stream");
    if (std::memcmp(reader.take(size).data(), contents(number, size).data(), size) != 0)
        return complain(where + " has other contents");
    ++in.received;
    ++delivered_;
    longest_silence_ = std::max(longest_silence_, now() - last_delivery_);
    last_delivery_ = now();
}

void SimCluster::poll(std::size_t node) {
    feed(node);
    nodes_[node].fabric->poll(now(), [&](NodeId from, Channel channel, ByteView payload) {
        check(from.value(), node, channel, payload);
    });
    reconnect_lost(node);
    if (nodes_[node].nap > Duration::zero()) nodes_[node].awake_at = now() + nodes_[node].nap;
}

std::optional<Instant> SimCluster::next_poll(std::size_t node) const {
    const Fabric& fabric = *nodes_[node].fabric;
    if (wire_.anything_waits(node)) return now();
    for (std::size_t to = 0; to < count_; ++to)
        if (to != node && sending_[node * count_ + to].sent < load_.messages && !fabric.congested())
            return now();
    return fabric.next_deadline();
}

bool SimCluster::step(Instant end) {
    std::optional<Instant> next = wire_.next_arrival();
    const auto consider = [&](Instant at) { next = next ? std::min(*next, at) : at; };
    for (std::size_t node = 0; node < count_; ++node) {
        if (const auto at = next_poll(node))
            consider(std::max({*at, nodes_[node].awake_at, now()}));
    }
    if (!next) return false;
    wire_.advance(std::min(std::max(*next, now()), end));
    for (std::size_t node = 0; node < count_; ++node) {
        const auto at = next_poll(node);
        if (at && *at <= now() && nodes_[node].awake_at <= now()) poll(node);
    }
    return true;
}

bool SimCluster::all_delivered() const {
    for (std::size_t from = 0; from < count_; ++from)
        for (std::size_t to = 0; to < count_; ++to) {
            if (from == to) continue;
            const Sending& out = sending_[from * count_ + to];
            const Receiving& in = receiving_[from * count_ + to];
            if (in.life != out.life || in.received < load_.messages) return false;
        }
    return true;
}

std::string SimCluster::describe() const {
    std::string text =
        problem_ + "\nafter " + std::to_string(now().time_since_epoch().count()) + " ns:\n";
    for (std::size_t from = 0; from < count_; ++from)
        for (std::size_t to = 0; to < count_; ++to) {
            if (from == to) continue;
            const NodeId id{static_cast<std::uint8_t>(to)};
            const Sending& out = sending_[from * count_ + to];
            const Receiving& in = receiving_[from * count_ + to];
            const PeerCounters c = nodes_[from].fabric->counters(id);
            text += std::to_string(from) + " to " + std::to_string(to) + ": state " +
                    std::to_string(static_cast<int>(nodes_[from].fabric->peer_state(id))) +
                    ", life " + std::to_string(out.life) + " sent " + std::to_string(out.sent) +
                    ", life " + std::to_string(in.life) + " received " +
                    std::to_string(in.received) + "; frames " + std::to_string(c.frames_sent) +
                    ", again " + std::to_string(c.retransmissions) + ", rejected " +
                    std::to_string(c.rejected) + " " + nodes_[from].fabric->peer_problem(id) + "\n";
        }
    return text;
}

PeerCounters SimCluster::counters() const {
    PeerCounters sum = before_;
    for (std::size_t node = 0; node < count_; ++node)
        for (std::size_t other = 0; other < count_; ++other)
            if (other != node)
                sum += nodes_[node].fabric->counters(NodeId{static_cast<std::uint8_t>(other)});
    return sum;
}

}  // namespace vsmp::fabric
