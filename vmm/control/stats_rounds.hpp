// Rounds of statistics: ask every node, be told when all have answered. Pure.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "vmm/node/node.hpp"

namespace vsmp::control {

class StatsRounds {
  public:
    using Done = std::function<void(const std::vector<NodeStats>&)>;  // index = node id

    explicit StatsRounds(std::size_t nodes) : nodes_(nodes) {}

    // A number for the requests of a new round. Of too many open rounds the oldest is dropped.
    std::uint64_t begin(Done done) {
        if (rounds_.size() >= kMaxOpen) rounds_.erase(rounds_.begin());
        rounds_.emplace(++last_,
                        Round{std::vector<std::optional<NodeStats>>(nodes_), std::move(done)});
        return last_;
    }

    void on_stats(NodeId node, std::uint64_t request, NodeStats stats) {
        const auto found = rounds_.find(request);
        if (found == rounds_.end() || node.value() >= nodes_) return;
        Round& round = found->second;
        round.answers[node.value()] = std::move(stats);
        if (!std::all_of(round.answers.begin(), round.answers.end(),
                         [](const auto& answer) { return answer.has_value(); }))
            return;
        std::vector<NodeStats> all;
        for (auto& answer : round.answers) all.push_back(std::move(*answer));
        const Done done = std::move(round.done);
        rounds_.erase(found);
        done(all);
    }

  private:
    static constexpr std::size_t kMaxOpen = 64;
    struct Round {
        std::vector<std::optional<NodeStats>> answers;
        Done done;
    };
    std::size_t nodes_;
    std::uint64_t last_ = 0;
    std::map<std::uint64_t, Round> rounds_;
};

}  // namespace vsmp::control
