// A Node without a guest, for tests of the control plane. What it does is driven by its console
// input and by a fault to play.
#pragma once

#include <net/if.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "vmm/node/node.hpp"

namespace vsmp::control {

class FakeNode final : public Node {
  public:
    FakeNode(NodeSetup setup, NodeObserver& observer, std::string fault)
        : setup_(std::move(setup)), observer_(observer), fault_(std::move(fault)) {
        for (std::uint16_t id = 0; id < setup_.guest.vcpu_count; ++id)
            stats_.vcpus.push_back({.id = VcpuId{id},
                                    .here = setup_.self == NodeId{0},
                                    .exits = 1,
                                    .activity = VcpuActivity::halted});
        stats_.faults = 100u + setup_.self.value();
        if (fault_ != "no-links") observer_.on_links_up();
    }

    Result<void> start() override {
        if (fault_ == "die") ::kill(::getpid(), SIGKILL);
        if (fault_ == "start-error") return Error{"KVM_CREATE_VM: no such luck"};
        if (setup_.self != NodeId{0}) return {};
        say("kernel " + std::to_string(setup_.kernel.size()) + " initrd " +
            std::to_string(setup_.initrd.size()));
        for (const LinkConfig& any : setup_.guest.nodes[0].links) {
            if (const auto* link = std::get_if<AfPacketLink>(&any))
                say("link " + link->interface +
                    (::if_nametoindex(link->interface.c_str()) != 0 ? " exists" : " is missing"));
            if (std::holds_alternative<VhostUserLink>(any)) say("link vhost-user");
        }
        say("ready");
        return {};
    }

    void console_input(std::string bytes) override {
        typed_ += bytes;
        for (std::size_t end; (end = typed_.find_first_of("\r\n")) != typed_.npos;) {
            const std::string word = typed_.substr(0, end);
            typed_.erase(0, end + 1);
            if (word == "off") observer_.on_guest_ended(GuestEnd::power_off, "");
            if (word == "reset") observer_.on_guest_ended(GuestEnd::reset, "");
            if (word == "crash") observer_.on_guest_ended(GuestEnd::crashed, "triple fault");
            if (word == "fail") observer_.on_failed(Error{"node 1 is lost"});
            if (word == "flood") say(std::string(300'000, 'x'));
            say("typed " + word);
        }
    }

    Result<void> ship(VcpuId vcpu, NodeId to) override {
        if (vcpu.value() >= stats_.vcpus.size()) return Error{"no such vCPU"};
        if (!stats_.vcpus[vcpu.value()].here) return Error{"not here"};
        stats_.vcpus[vcpu.value()].here = false;
        ++stats_.ships_out;
        say("ship " + std::to_string(vcpu.value()) + " to " + std::to_string(to.value()));
        return {};
    }
    Result<void> set_policy(const std::string& name) override {
        say("policy " + name);
        return {};
    }
    NodeStats stats() const override { return stats_; }

  private:
    void say(const std::string& line) { observer_.on_console_output(line + "\r\n"); }

    NodeSetup setup_;
    NodeObserver& observer_;
    std::string fault_;
    NodeStats stats_;
    std::string typed_;
};

inline NodeFacts fake_facts() {
    return {.host_kernel = "6.12.0-fake",
            .tsc_khz = 2'000'000,
            .nested_paging = true,
            .cpuid = {
                {.function = 0, .eax = 1, .ebx = 0x68747541, .ecx = 0x444d4163, .edx = 0x69746e65},
                {.function = 1, .eax = 7}}};
}

}  // namespace vsmp::control
