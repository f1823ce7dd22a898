// What a PortFabric tells of itself.
#include "dpdk_transport/port_fabric.hpp"

namespace vsmp::fabric {
namespace {

// A page and what is around it in a message, sealed, fit a frame with such an MTU.
constexpr std::size_t kPageMtu = kPageSize + 200;
}  // namespace

std::string PortFabric::peer_problem(NodeId id) const {
    const Link& link = peer(id).link;
    if (link.state() == PeerState::lost) return link.problem();
    for (std::size_t i = 0; i < ports_.size(); ++i) {
        const Path& path = link.path(i);
        const std::string way =
            "the way to node " + std::to_string(id.value()) + " over " + ports_[i]->name();
        if (path.swallows_large_frames())
            return way + " swallows frames larger than " + std::to_string(path.mtu()) +
                   " bytes, though both ends have an MTU of " + std::to_string(path.agreed_mtu()) +
                   ": messages are cut up";
        if (path.state() == Path::State::suspect) return way + " is silent";
        if (path.known() && path.agreed_mtu() < kPageMtu)
            return way + " has an MTU of " + std::to_string(path.agreed_mtu()) +
                   ": pages are cut up";
    }
    return {};
}

PeerCounters PortFabric::counters(NodeId id) const {
    const Peer& p = peer(id);
    PeerCounters counters = p.link.counters();
    counters += p.before;
    for (const Peer::Way& way : p.ways) {
        counters.frames_sent += way.frames_sent;
        counters.frames_received += way.frames_received;
        counters.bytes_sent += way.bytes_sent;
        counters.bytes_received += way.bytes_received;
    }
    counters.rejected += p.not_authentic;
    return counters;
}

namespace {

PathStats::State state_of(const Path& path) {
    switch (path.state()) {
        case Path::State::unknown:
            return PathStats::State::unknown;
        case Path::State::alive:
            return PathStats::State::up;
        case Path::State::suspect:
            return PathStats::State::silent;
    }
    return PathStats::State::unknown;
}

}  // namespace

std::vector<PathStats> PortFabric::paths(NodeId id) const {
    const Peer& p = peer(id);
    std::vector<PathStats> all;
    for (std::size_t i = 0; i < ports_.size(); ++i) {
        const Path& path = p.link.path(i);
        const Peer::Way& way = p.ways[i];
        all.push_back({.port = ports_[i]->name(),
                       .state = state_of(path),
                       .mtu = path.mtu(),
                       .agreed_mtu = path.agreed_mtu(),
                       .round_trip = p.link.round_trip(i),
                       .frames_sent = way.frames_sent,
                       .frames_received = way.frames_received,
                       .bytes_sent = way.bytes_sent,
                       .bytes_received = way.bytes_received});
    }
    return all;
}

DropCounters PortFabric::drops() const {
    DropCounters drops = drops_;
    if (!sealer_) return drops;
    const SealCounters& seal = sealer_->counters();
    drops.unauthentic = seal.unauthentic;
    drops.unknown_key = seal.unknown_key;
    drops.replayed = seal.replayed;
    return drops;
}

}  // namespace vsmp::fabric
