// Answers what vsmpctl asks of a guest that runs. Used on the io_context's thread.
#pragma once

#include "vmm/control/control_server.hpp"
#include "vmm/control/fleet.hpp"

namespace vsmp::control {

class ControlDesk {
  public:
    using Reply = ControlServer::Reply;

    // Both must outlive the desk.
    ControlDesk(const GuestConfig& guest, Fleet& fleet) : guest_(guest), fleet_(fleet) {}

    // Every request but 'stop', which is for who runs the guest. `reply` is called once, at the
    // latest when all nodes have answered.
    void answer(const wire::ControlRequest& request, Reply reply);

  private:
    void send_status(const Reply& reply);
    void send_stats(const Reply& reply);
    void explain(std::uint32_t vcpu, const Reply& reply);
    void ship(std::uint32_t vcpu, std::uint32_t to, const Reply& reply);

    const GuestConfig& guest_;
    Fleet& fleet_;
};

enum class GuestState : std::uint8_t { starting, running };
// `stats`: of each node, or nothing when they are not known yet.
wire::ControlReply status_reply(const GuestConfig& guest, GuestState state,
                                const std::vector<NodeStats>& stats);
wire::ControlReply refusal(const std::string& why);
// Done, or refused if there is an error.
wire::ControlReply outcome(const std::string& error);

}  // namespace vsmp::control
