#include "vmm/control/spread.hpp"

#include <algorithm>

namespace vsmp::control {

SpreadPlan::SpreadPlan(const GuestConfig& guest, std::string marker)
    : target_(guest.vcpu_count), settled_(guest.vcpu_count), marker_(std::move(marker)) {
    for (const NodeConfig& node : guest.nodes)
        for (VcpuId vcpu : node.vcpus) target_[vcpu.value()] = node.id;
    for (std::size_t vcpu = 0; vcpu < target_.size(); ++vcpu)
        settled_[vcpu] = guest.spread == Spread::none || target_[vcpu] == NodeId{0};
}

bool SpreadPlan::done() const {
    return std::all_of(settled_.begin(), settled_.end(), [](bool settled) { return settled; });
}

bool SpreadPlan::on_console(std::string_view bytes) {
    if (done() || up_ || marker_.empty()) return false;
    tail_ += bytes;
    if (tail_.find(marker_) != tail_.npos) {
        up_ = true;
        return true;
    }
    const std::size_t keep = std::min(tail_.size(), marker_.size() - 1);
    tail_.erase(0, tail_.size() - keep);
    return false;
}

bool SpreadPlan::at_rest(const std::vector<NodeStats>& stats) const {
    std::size_t halted = 0;
    for (const NodeStats& node : stats)
        for (const NodeStats::VcpuStats& vcpu : node.vcpus)
            if (vcpu.here && vcpu.activity == VcpuActivity::halted) ++halted;
    return halted == target_.size();
}

std::vector<ShipOrder> SpreadPlan::on_stats(const std::vector<NodeStats>& stats) {
    if (done()) return {};
    if (!up_ && marker_.empty()) {
        idle_rounds_ = at_rest(stats) ? idle_rounds_ + 1 : 0;
        up_ = idle_rounds_ >= kIdleRounds;
    }
    if (!up_) return {};
    std::vector<ShipOrder> orders;
    for (std::size_t node = 0; node < stats.size(); ++node)
        for (const NodeStats::VcpuStats& vcpu : stats[node].vcpus) {
            const NodeId here{static_cast<std::uint8_t>(node)};
            const std::size_t id = vcpu.id.value();
            if (!vcpu.here || id >= target_.size() || settled_[id]) continue;
            // A vCPU that the guest has not started has no state worth moving: a later round.
            if (vcpu.activity == VcpuActivity::waiting) continue;
            settled_[id] = target_[id] == here;
            if (!settled_[id]) orders.push_back({vcpu.id, here, target_[id]});
        }
    return orders;
}

}  // namespace vsmp::control
