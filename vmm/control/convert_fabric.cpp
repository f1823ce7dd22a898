#include "vmm/control/convert_fabric.hpp"

#include "proto/overloaded.hpp"

namespace vsmp::control {
namespace {

wire::PathStats::State to_wire(fabric::PathStats::State state) {
    switch (state) {
        case fabric::PathStats::State::unknown:
            return wire::PathStats::UNKNOWN;
        case fabric::PathStats::State::up:
            return wire::PathStats::UP;
        case fabric::PathStats::State::silent:
            return wire::PathStats::SILENT;
    }
    return wire::PathStats::UNKNOWN;
}

fabric::PathStats::State from_wire(wire::PathStats::State state) {
    if (state == wire::PathStats::UP) return fabric::PathStats::State::up;
    if (state == wire::PathStats::SILENT) return fabric::PathStats::State::silent;
    return fabric::PathStats::State::unknown;
}

}  // namespace

Error malformed(const char* what) {
    return {std::string{"malformed control message: "} + what};
}

void to_wire(const LinkConfig& from, wire::Link& to) {
    std::visit(Overloaded{
                   [&](const AutoLink&) { to.mutable_auto_(); },
                   [&](const AfPacketLink& l) { to.set_af_packet_interface(l.interface); },
                   [&](const VhostUserLink& l) { to.set_vhost_user_socket(l.socket); },
                   [&](const PciLink& l) { to.set_pci_address(l.address); },
               },
               from);
}

Result<LinkConfig> from_wire(const wire::Link& from) {
    switch (from.kind_case()) {
        case wire::Link::kAuto:
            return LinkConfig{AutoLink{}};
        case wire::Link::kAfPacketInterface:
            return LinkConfig{AfPacketLink{from.af_packet_interface()}};
        case wire::Link::kVhostUserSocket:
            return LinkConfig{VhostUserLink{from.vhost_user_socket()}};
        case wire::Link::kPciAddress:
            return LinkConfig{PciLink{from.pci_address()}};
        case wire::Link::KIND_NOT_SET:
            break;
    }
    return malformed("a link of unknown type");
}

void to_wire(const fabric::PeerCounters& from, wire::LinkCounters& to) {
    to.set_frames_sent(from.frames_sent);
    to.set_frames_received(from.frames_received);
    to.set_bytes_sent(from.bytes_sent);
    to.set_bytes_received(from.bytes_received);
    to.set_messages_sent(from.messages_sent);
    to.set_messages_received(from.messages_received);
    to.set_retransmissions(from.retransmissions);
    to.set_duplicates(from.duplicates);
    to.set_out_of_order(from.out_of_order);
    to.set_rejected(from.rejected);
    to.set_needless(from.needless);
    to.set_stale(from.stale);
    to.set_impossible(from.impossible);
    to.set_outside_window(from.outside_window);
}

fabric::PeerCounters from_wire(const wire::LinkCounters& from) {
    return {.frames_sent = from.frames_sent(),
            .frames_received = from.frames_received(),
            .bytes_sent = from.bytes_sent(),
            .bytes_received = from.bytes_received(),
            .messages_sent = from.messages_sent(),
            .messages_received = from.messages_received(),
            .needless = from.needless(),
            .retransmissions = from.retransmissions(),
            .duplicates = from.duplicates(),
            .out_of_order = from.out_of_order(),
            .rejected = from.rejected(),
            .stale = from.stale(),
            .impossible = from.impossible(),
            .outside_window = from.outside_window()};
}

void to_wire(const FabricConfig& from, wire::FabricConfig& to) {
    if (from.spin) to.set_spin_ns(static_cast<std::uint64_t>(from.spin->count()));
    to.set_scheduling(static_cast<std::uint32_t>(from.scheduling));
    to.set_key_file(from.key_file);
    to.set_capture_folder(from.capture_folder);
}

Result<FabricConfig> from_wire(const wire::FabricConfig& from) {
    if (from.spin_ns() > static_cast<std::uint64_t>(kMaxSpin.count()) ||
        from.scheduling() > static_cast<std::uint32_t>(fabric::Scheduling::fifo))
        return malformed("fabric");
    FabricConfig fabric;
    if (from.has_spin_ns()) fabric.spin = std::chrono::nanoseconds(from.spin_ns());
    fabric.scheduling = static_cast<fabric::Scheduling>(from.scheduling());
    fabric.key_file = from.key_file();
    fabric.capture_folder = from.capture_folder();
    return fabric;
}

void to_wire(const fabric::PathStats& from, wire::PathStats& to) {
    to.set_port(from.port);
    to.set_state(to_wire(from.state));
    to.set_mtu(static_cast<std::uint32_t>(from.mtu));
    to.set_agreed_mtu(static_cast<std::uint32_t>(from.agreed_mtu));
    to.set_round_trip_ns(static_cast<std::uint64_t>(from.round_trip.count()));
    to.set_frames_sent(from.frames_sent);
    to.set_frames_received(from.frames_received);
    to.set_bytes_sent(from.bytes_sent);
    to.set_bytes_received(from.bytes_received);
}

fabric::PathStats from_wire(const wire::PathStats& from) {
    return {.port = from.port(),
            .state = from_wire(from.state()),
            .mtu = from.mtu(),
            .agreed_mtu = from.agreed_mtu(),
            .round_trip = std::chrono::nanoseconds(from.round_trip_ns()),
            .frames_sent = from.frames_sent(),
            .frames_received = from.frames_received(),
            .bytes_sent = from.bytes_sent(),
            .bytes_received = from.bytes_received()};
}

void to_wire(const fabric::DropCounters& from, wire::DropCounters& to) {
    to.set_other_traffic(from.other_traffic);
    to.set_other_guest(from.other_guest);
    to.set_other_cluster(from.other_cluster);
    to.set_other_destination(from.other_destination);
    to.set_other_version(from.other_version);
    to.set_malformed(from.malformed);
    to.set_damaged(from.damaged);
    to.set_unprotected(from.unprotected);
    to.set_unauthentic(from.unauthentic);
    to.set_unknown_key(from.unknown_key);
    to.set_replayed(from.replayed);
}

fabric::DropCounters from_wire(const wire::DropCounters& from) {
    return {.other_traffic = from.other_traffic(),
            .other_guest = from.other_guest(),
            .other_cluster = from.other_cluster(),
            .other_destination = from.other_destination(),
            .other_version = from.other_version(),
            .malformed = from.malformed(),
            .damaged = from.damaged(),
            .unprotected = from.unprotected(),
            .unauthentic = from.unauthentic(),
            .unknown_key = from.unknown_key(),
            .replayed = from.replayed()};
}

std::string describe(const LinkConfig& link) {
    return std::visit(Overloaded{
                          [](const AutoLink&) { return std::string{"auto"}; },
                          [](const AfPacketLink& l) { return "af_packet " + l.interface; },
                          [](const VhostUserLink& l) { return "vhost-user " + l.socket; },
                          [](const PciLink& l) { return "pci " + l.address; },
                      },
                      link);
}

std::string describe(const std::vector<LinkConfig>& links) {
    std::string all;
    for (const LinkConfig& link : links) all += (all.empty() ? "" : ", ") + describe(link);
    return all;
}

}  // namespace vsmp::control
