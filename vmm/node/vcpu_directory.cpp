#include "vmm/node/vcpu_directory.hpp"

#include <algorithm>
#include <array>

#include "dpdk_transport/core/frame.hpp"

namespace vsmp {
namespace {

void remember(std::vector<std::uint32_t>& last, std::int64_t value) {
    if (last.size() == ShipCounters::kRemembered) last.erase(last.begin());
    last.push_back(static_cast<std::uint32_t>(value));
}

}  // namespace

using shipper::Action;
using shipper::ActionKind;
using shipper::Event;
using shipper::EventKind;
using shipper::Interrupt;
using shipper::Message;
using shipper::Phase;

VcpuDirectory::VcpuDirectory(NodeId self, std::size_t node_count, std::size_t vcpu_count,
                             LocalVcpus& vcpus, fabric::Fabric* fabric,
                             std::function<void(Error)> on_violation)
    : self_(self),
      node_count_(node_count),
      vcpus_(vcpus),
      fabric_(fabric),
      on_violation_(std::move(on_violation)),
      handovers_(vcpu_count, shipper::initial_handover(self, NodeId{0})) {}

bool VcpuDirectory::ship(VcpuId vcpu, NodeId to) {
    const std::uint64_t refused_before = counters_.refused;
    step(vcpu, {.kind = EventKind::ship_requested, .node = to, .message = {}});
    return counters_.refused == refused_before;
}

void VcpuDirectory::raise(VcpuId vcpu, const Interrupt& interrupt) {
    Event event{.kind = EventKind::raised, .node = self_, .message = {}};
    event.message.vcpu = vcpu;
    event.message.interrupt = interrupt;
    step(vcpu, event);
}

void VcpuDirectory::on_message(NodeId from, ByteView payload) {
    const auto decoded = shipper::decode_message(payload, handovers_.size());
    if (!decoded) {
        ++counters_.malformed;
        return;
    }
    if (decoded->message.kind == shipper::MessageKind::ship_nack) ++counters_.refused;
    step(decoded->message.vcpu,
         {.kind = EventKind::message, .node = from, .message = decoded->message}, decoded->state);
}

void VcpuDirectory::on_captured(VcpuId vcpu, std::vector<std::byte> state) {
    step(vcpu, {.kind = EventKind::captured, .node = self_, .message = {}}, state);
}

void VcpuDirectory::on_capture_failed(VcpuId vcpu) {
    step(vcpu, {.kind = EventKind::capture_failed, .node = self_, .message = {}});
}

void VcpuDirectory::on_installed(VcpuId vcpu, Duration blackout) {
    ++counters_.in;
    remember(counters_.blackout_us,
             std::chrono::duration_cast<std::chrono::microseconds>(blackout).count());
    step(vcpu, {.kind = EventKind::installed, .node = self_, .message = {}});
}

void VcpuDirectory::on_install_failed(VcpuId vcpu, shipper::NackReason reason) {
    Event event{.kind = EventKind::install_failed, .node = self_, .message = {}};
    event.message.reason = reason;
    step(vcpu, event);
}

bool VcpuDirectory::is_here(VcpuId vcpu) const {
    const Phase phase = handovers_[vcpu.value()].phase;
    return phase == Phase::here || phase == Phase::leaving;
}

void VcpuDirectory::step(VcpuId vcpu, const Event& event, ByteView state) {
    shipper::Handover& handover = handovers_[vcpu.value()];
    const shipper::Step step = shipper::step(self_, vcpu, handover, event);
    handover = step.next;
    for (const Action& action : step.actions)
        if (!perform(vcpu, action, step, state)) return;
}

// False: the guest is lost, nothing more is to be done.
bool VcpuDirectory::perform(VcpuId vcpu, const Action& action, const shipper::Step& step,
                            ByteView state) {
    switch (action.kind) {
        case ActionKind::request_capture:
            vcpus_.capture(vcpu, step.next.peer);
            return true;
        case ActionKind::send_state:
            count_departure(state.size());
            send(action.to, action.message, state);
            return true;
        case ActionKind::send:
            send(action.to, action.message);
            return true;
        case ActionKind::announce:
            for (std::size_t node = 0; node < node_count_; ++node) {
                const NodeId to{static_cast<std::uint8_t>(node)};
                if (to != self_ && to != action.to) send(to, action.message);
            }
            return true;
        case ActionKind::install:
            install(vcpu, state);
            return true;
        case ActionKind::resume_here:
            vcpus_.resume(vcpu);
            return true;
        case ActionKind::deliver:
            vcpus_.deliver(vcpu, action.message.interrupt);
            return true;
        case ActionKind::deliver_stash:
            step.flushed.for_each([&](const Interrupt& i) { vcpus_.deliver(vcpu, i); });
            return true;
        case ActionKind::forward_stash:
            step.flushed.for_each([&](const Interrupt& interrupt) {
                Message message = action.message;
                message.interrupt = interrupt;
                send(action.to, message);
            });
            return true;
        case ActionKind::refuse_ship:
            ++counters_.refused;
            return true;
        case ActionKind::violation:
            on_violation_(Error{"a peer broke the hand-over protocol of vCPU " +
                                std::to_string(vcpu.value())});
            return false;
    }
    VSMP_CHECK(false, "action kind out of range");
}

void VcpuDirectory::count_departure(std::size_t state_bytes) {
    const std::size_t frame = fabric::kHeaderSize + shipper::kMessageHeaderSize + state_bytes;
    ++counters_.out;
    counters_.frame_bytes_max = std::max<std::uint64_t>(counters_.frame_bytes_max, frame);
    remember(counters_.frame_bytes, static_cast<std::int64_t>(frame));
}

void VcpuDirectory::send(NodeId to, const Message& message, ByteView body) {
    VSMP_CHECK(fabric_ != nullptr, "a message to another node without a fabric");
    std::array<std::byte, shipper::kMessageHeaderSize> header;
    ByteWriter writer{header};
    shipper::encode(message, writer);
    fabric_->send(to, fabric::Channel::vcpu, writer.written(), body);
}

void VcpuDirectory::install(VcpuId vcpu, ByteView state) {
    auto decoded = shipper::decode(state);
    if (!decoded) {
        ++counters_.malformed;
        on_install_failed(vcpu, shipper::NackReason::bad_state);
        return;
    }
    vcpus_.install(vcpu, *std::move(decoded));
}

}  // namespace vsmp
