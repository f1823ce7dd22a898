#include "vmm/control/fleet.hpp"

namespace vsmp::control {

void Fleet::collect_stats(StatsRounds::Done done) {
    const std::uint64_t request = rounds_.begin(std::move(done));
    for (auto& peer : peers_) peer->request_stats(request);
}

void Fleet::ship(VcpuId vcpu, NodeId from, NodeId to, Done done) {
    peers_[from.value()]->ship(expect(std::move(done)), vcpu, to);
}

void Fleet::set_policy(const std::string& name, Done done) {
    struct Round {
        std::size_t missing;
        std::string error;
    };
    const auto round = std::make_shared<Round>(Round{peers_.size(), {}});
    for (auto& peer : peers_)
        peer->set_policy(expect([round, done](const std::string& error) {
                             if (round->error.empty()) round->error = error;
                             if (--round->missing == 0) done(round->error);
                         }),
                         name);
}

void Fleet::on_stats(NodeId node, std::uint64_t request, NodeStats stats) {
    rounds_.on_stats(node, request, std::move(stats));
}

void Fleet::on_reply(std::uint64_t request, const std::string& error) {
    const auto found = expected_.find(request);
    if (found == expected_.end()) return;
    const Done done = std::move(found->second);
    expected_.erase(found);
    done(error);
}

std::uint64_t Fleet::expect(Done done) {
    expected_.emplace(++last_request_, std::move(done));
    return last_request_;
}

}  // namespace vsmp::control
