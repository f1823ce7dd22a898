#include "vmm/control/control_desk.hpp"

#include <fmt/format.h>

#include "vmm/control/convert.hpp"
#include "vmm/control/convert_fabric.hpp"

namespace vsmp::control {
namespace {

std::string no_such_vcpu(const GuestConfig& guest, std::uint32_t vcpu) {
    return fmt::format("there is no vCPU {}; the guest has {}", vcpu, guest.vcpu_count);
}

}  // namespace

void ControlDesk::answer(const wire::ControlRequest& request, Reply reply) {
    using Kind = wire::ControlRequest;
    switch (request.kind_case()) {
        case Kind::kStatus:
            return send_status(reply);
        case Kind::kStats:
            return send_stats(reply);
        case Kind::kShip:
            return ship(request.ship().vcpu(), request.ship().to(), reply);
        case Kind::kPolicy:
            return fleet_.set_policy(request.policy().name(),
                                     [reply](const std::string& error) { reply(outcome(error)); });
        case Kind::kExplain:
            return explain(request.explain().vcpu(), reply);
        case Kind::kStop:
        case Kind::kHello:
        case Kind::KIND_NOT_SET:
            break;
    }
    reply(refusal("this vsmp-run does not know the request"));
}

void ControlDesk::send_status(const Reply& reply) {
    fleet_.collect_stats([this, reply](const std::vector<NodeStats>& stats) {
        reply(status_reply(guest_, GuestState::running, stats));
    });
}

void ControlDesk::send_stats(const Reply& reply) {
    fleet_.collect_stats([this, reply](const std::vector<NodeStats>& stats) {
        wire::ControlReply message;
        message.mutable_stats()->set_guest(guest_.name);
        for (const NodeStats& node : stats) to_wire(node, *message.mutable_stats()->add_nodes());
        reply(message);
    });
}

void ControlDesk::ship(std::uint32_t vcpu, std::uint32_t to, const Reply& reply) {
    if (vcpu >= guest_.vcpu_count) return reply(refusal(no_such_vcpu(guest_, vcpu)));
    if (to >= guest_.nodes.size())
        return reply(
            refusal(fmt::format("there is no node {}; the guest has {}", to, guest_.nodes.size())));
    const VcpuId id{static_cast<std::uint16_t>(vcpu)};
    const NodeId target{static_cast<std::uint8_t>(to)};
    fleet_.collect_stats([this, id, target, reply](const std::vector<NodeStats>& stats) {
        for (std::size_t node = 0; node < stats.size(); ++node)
            for (const auto& each : stats[node].vcpus) {
                if (each.id != id || !each.here) continue;
                const NodeId from{static_cast<std::uint8_t>(node)};
                if (from == target) return reply(outcome(""));
                return fleet_.ship(id, from, target,
                                   [reply](const std::string& error) { reply(outcome(error)); });
            }
        reply(refusal(fmt::format("vCPU {} is on its way between nodes; try again", id.value())));
    });
}

void ControlDesk::explain(std::uint32_t vcpu, const Reply& reply) {
    if (vcpu >= guest_.vcpu_count) return reply(refusal(no_such_vcpu(guest_, vcpu)));
    fleet_.collect_stats([this, vcpu, reply](const std::vector<NodeStats>& stats) {
        wire::ControlReply message;
        auto& explanation = *message.mutable_explanation();
        explanation.set_guest(guest_.name);
        explanation.set_vcpu(vcpu);
        for (std::size_t node = 0; node < stats.size(); ++node)
            for (const NodeStats::VcpuStats& one : stats[node].vcpus) {
                if (one.id.value() != vcpu) continue;
                auto& out = *explanation.add_nodes();
                out.set_id(static_cast<std::uint32_t>(node));
                out.set_here(one.here);
                to_wire(one.decision, *out.mutable_decision());
            }
        reply(message);
    });
}

wire::ControlReply status_reply(const GuestConfig& guest, GuestState state,
                                const std::vector<NodeStats>& stats) {
    wire::ControlReply message;
    auto& status = *message.mutable_status();
    status.set_guest(guest.name);
    status.set_state(state == GuestState::running ? "running" : "starting");
    status.set_vcpu_count(guest.vcpu_count);
    for (std::size_t i = 0; i < guest.nodes.size(); ++i) {
        const NodeConfig& config = guest.nodes[i];
        auto& node = *status.add_nodes();
        node.set_id(config.id.value());
        node.set_host(config.host);
        node.set_link(describe(config.links));
        node.set_memory_bytes(config.memory_bytes);
        if (i >= stats.size()) continue;
        for (const auto& vcpu : stats[i].vcpus)
            if (vcpu.here) node.add_vcpus_here(vcpu.id.value());
    }
    return message;
}

wire::ControlReply refusal(const std::string& why) {
    wire::ControlReply message;
    message.set_error(why);
    return message;
}

wire::ControlReply outcome(const std::string& error) {
    if (!error.empty()) return refusal(error);
    wire::ControlReply message;
    message.mutable_done();
    return message;
}

}  // namespace vsmp::control
