#include "vmm/control/convert.hpp"

#include <algorithm>
#include <type_traits>

#include "vmm/control/protocol.hpp"

namespace vsmp::control {
namespace {

constexpr std::uint16_t kMaxGuestVcpus = 255;
constexpr int kMaxCpuidLeaves = 1024;

Error malformed(const char* what) {
    return {std::string{"malformed control message: "} + what};
}

template <class... Ts>
struct Overloaded : Ts... {
    using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

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

void to_wire(const std::vector<CpuidLeaf>& from,
             google::protobuf::RepeatedPtrField<wire::CpuidLeaf>& to) {
    for (const CpuidLeaf& leaf : from) {
        wire::CpuidLeaf& out = *to.Add();
        out.set_function(leaf.function);
        out.set_index(leaf.index);
        out.set_flags(leaf.flags);
        out.set_eax(leaf.eax);
        out.set_ebx(leaf.ebx);
        out.set_ecx(leaf.ecx);
        out.set_edx(leaf.edx);
    }
}

Result<std::vector<CpuidLeaf>> from_wire(
    const google::protobuf::RepeatedPtrField<wire::CpuidLeaf>& from) {
    if (from.size() > kMaxCpuidLeaves) return malformed("too many CPUID leaves");
    std::vector<CpuidLeaf> leaves;
    for (const wire::CpuidLeaf& in : from)
        leaves.push_back({.function = in.function(),
                          .index = in.index(),
                          .flags = in.flags(),
                          .eax = in.eax(),
                          .ebx = in.ebx(),
                          .ecx = in.ecx(),
                          .edx = in.edx()});
    return leaves;
}

Result<NodeConfig> from_wire(const wire::NodeConfig& from, std::size_t index,
                             std::uint32_t vcpu_count) {
    if (from.id() != index) return malformed("node ids are not in order");
    if (from.memory_bytes() == 0 || from.memory_bytes() % kPageSize != 0)
        return malformed("memory of a node");
    if (from.memory_limit_bytes() != 0 && from.memory_limit_bytes() <= from.memory_bytes())
        return malformed("memory limit of a node");
    NodeConfig node;
    node.id = NodeId{static_cast<std::uint8_t>(from.id())};
    node.host = from.host();
    node.memory_bytes = from.memory_bytes();
    node.memory_limit_bytes = from.memory_limit_bytes();
    for (const std::uint32_t vcpu : from.vcpus()) {
        if (vcpu >= vcpu_count) return malformed("a vCPU that does not exist");
        node.vcpus.emplace_back(static_cast<std::uint16_t>(vcpu));
    }
    VSMP_TRY_ASSIGN(node.link, from_wire(from.link()));
    return node;
}

wire::VcpuStats::Activity to_wire(VcpuActivity activity) {
    switch (activity) {
        case VcpuActivity::waiting:
            return wire::VcpuStats::WAITING;
        case VcpuActivity::running:
            return wire::VcpuStats::RUNNING;
        case VcpuActivity::halted:
            return wire::VcpuStats::HALTED;
    }
    return wire::VcpuStats::WAITING;
}

VcpuActivity from_wire(wire::VcpuStats::Activity activity) {
    if (activity == wire::VcpuStats::RUNNING) return VcpuActivity::running;
    if (activity == wire::VcpuStats::HALTED) return VcpuActivity::halted;
    return VcpuActivity::waiting;
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
}

fabric::PeerCounters from_wire(const wire::LinkCounters& from) {
    return {.frames_sent = from.frames_sent(),
            .frames_received = from.frames_received(),
            .bytes_sent = from.bytes_sent(),
            .bytes_received = from.bytes_received(),
            .messages_sent = from.messages_sent(),
            .messages_received = from.messages_received(),
            .retransmissions = from.retransmissions(),
            .duplicates = from.duplicates(),
            .out_of_order = from.out_of_order(),
            .rejected = from.rejected()};
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

}  // namespace

void to_wire(const GuestConfig& from, wire::GuestConfig& to) {
    to.set_name(from.name);
    to.set_uuid(from.uuid);
    to.set_vcpu_count(from.vcpu_count);
    for (const NodeConfig& node : from.nodes) {
        wire::NodeConfig& out = *to.add_nodes();
        out.set_id(node.id.value());
        out.set_host(node.host);
        out.set_memory_bytes(node.memory_bytes);
        out.set_memory_limit_bytes(node.memory_limit_bytes);
        for (VcpuId vcpu : node.vcpus) out.add_vcpus(vcpu.value());
        to_wire(node.link, *out.mutable_link());
    }
    std::string distances;
    for (const auto& row : from.distances)
        for (std::uint8_t distance : row) distances.push_back(static_cast<char>(distance));
    to.set_distances(distances);
    to.set_kernel(from.boot.kernel);
    to.set_initrd(from.boot.initrd);
    to.set_command_line(from.boot.command_line);
    to.set_policy(from.policy);
    to.set_hold_ns(static_cast<std::uint64_t>(from.hold.count()));
    to.set_read_ahead(from.read_ahead);
    to.set_large_pages(from.large_pages);
    to.set_vlan(from.vlan);
    to.set_spread_round_robin(from.spread == Spread::round_robin);
    to_wire(from.fabric, *to.mutable_fabric());
}

Result<GuestConfig> from_wire(const wire::GuestConfig& from) {
    const auto nodes = static_cast<std::size_t>(from.nodes_size());
    if (nodes == 0 || nodes > kMaxNodes) return malformed("number of nodes");
    if (from.vcpu_count() == 0 || from.vcpu_count() > kMaxGuestVcpus)
        return malformed("number of vCPUs");
    if (from.distances().size() != nodes * nodes) return malformed("distances");
    constexpr std::uint64_t kMaxHoldNs = 1'000'000'000;
    if (from.vlan() > 4094 || from.hold_ns() > kMaxHoldNs) return malformed("vlan or hold time");
    if (from.read_ahead() > coherence::kMaxReadAhead) return malformed("read-ahead");
    GuestConfig guest;
    guest.name = from.name();
    guest.uuid = from.uuid();
    guest.vcpu_count = static_cast<std::uint16_t>(from.vcpu_count());
    for (std::size_t i = 0; i < nodes; ++i) {
        VSMP_TRY_ASSIGN(NodeConfig node,
                        from_wire(from.nodes(static_cast<int>(i)), i, from.vcpu_count()));
        guest.nodes.push_back(std::move(node));
        std::vector<std::uint8_t> row;
        for (std::size_t j = 0; j < nodes; ++j)
            row.push_back(static_cast<std::uint8_t>(from.distances()[i * nodes + j]));
        guest.distances.push_back(std::move(row));
    }
    guest.boot = {
        .kernel = from.kernel(), .initrd = from.initrd(), .command_line = from.command_line()};
    guest.policy = from.policy();
    guest.hold = std::chrono::nanoseconds(from.hold_ns());
    guest.read_ahead = from.read_ahead();
    guest.large_pages = from.large_pages();
    guest.vlan = static_cast<std::uint16_t>(from.vlan());
    guest.spread = from.spread_round_robin() ? Spread::round_robin : Spread::none;
    VSMP_TRY_ASSIGN(guest.fabric, from_wire(from.fabric()));
    return guest;
}

void to_wire(const NodeFacts& from, wire::NodeFacts& to) {
    to.set_host_kernel(from.host_kernel);
    to.set_tsc_khz(from.tsc_khz);
    to.set_nested_paging(from.nested_paging);
    to_wire(from.cpuid, *to.mutable_cpuid());
}

Result<NodeFacts> from_wire(const wire::NodeFacts& from) {
    NodeFacts facts;
    facts.host_kernel = from.host_kernel();
    facts.tsc_khz = from.tsc_khz();
    facts.nested_paging = from.nested_paging();
    VSMP_TRY_ASSIGN(facts.cpuid, from_wire(from.cpuid()));
    return facts;
}

void to_wire(const NodeSetup& from, wire::Prepare& to) {
    to_wire(from.guest, *to.mutable_guest());
    to.set_self(from.self.value());
    to.set_incarnation(from.incarnation);
    to_wire(from.cpuid, *to.mutable_cpuid());
    to.set_tsc_khz(from.tsc_khz);
    to.set_micro_guest(from.kind == GuestKind::micro_guest);
    to.set_kernel_bytes(from.kernel.size());
    to.set_initrd_bytes(from.initrd.size());
}

Result<NodeSetup> from_wire(const wire::Prepare& from) {
    NodeSetup setup;
    VSMP_TRY_ASSIGN(setup.guest, from_wire(from.guest()));
    if (from.self() >= setup.guest.nodes.size()) return malformed("a node that does not exist");
    if (from.kernel_bytes() > kMaxKernelBytes || from.initrd_bytes() > kMaxInitrdBytes)
        return malformed("size of kernel or initrd");
    setup.self = NodeId{static_cast<std::uint8_t>(from.self())};
    setup.incarnation = from.incarnation();
    VSMP_TRY_ASSIGN(setup.cpuid, from_wire(from.cpuid()));
    setup.tsc_khz = from.tsc_khz();
    setup.kind = from.micro_guest() ? GuestKind::micro_guest : GuestKind::operating_system;
    return setup;
}

void to_wire(const PolicyDecision& from, wire::PolicyDecision& to) {
    to.set_policy(from.policy);
    to.set_why(from.why);
    to.set_made(from.ago.has_value());
    if (!from.ago) return;
    to.set_ago_us(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(*from.ago).count()));
    to.set_page(from.page.value());
    to.set_location(from.location.value());
    if (from.shipped_to) to.set_shipped_to(from.shipped_to->value());
    for (const auto& [name, value] : from.numbers) {
        wire::PolicyDecision::Number& number = *to.add_numbers();
        number.set_name(name);
        number.set_value(value);
    }
}

PolicyDecision from_wire(const wire::PolicyDecision& from) {
    PolicyDecision decision;
    decision.policy = from.policy();
    decision.why = from.why();
    if (!from.made()) return decision;
    decision.ago = std::chrono::microseconds(from.ago_us());
    decision.page = PageNumber{from.page()};
    decision.location = NodeId{static_cast<std::uint8_t>(from.location())};
    if (from.has_shipped_to())
        decision.shipped_to = NodeId{static_cast<std::uint8_t>(from.shipped_to())};
    for (const auto& number : from.numbers())
        decision.numbers.emplace_back(number.name(), number.value());
    return decision;
}

void to_wire(const MemoryStats& from, wire::MemoryStats& to) {
    to.set_resident(from.resident);
    to.set_resident_max(from.resident_max);
    to.set_resident_kernel(from.resident_kernel);
    to.set_limit(from.limit);
    to.set_dropped(from.dropped);
    to.set_written_back(from.written_back);
    to.set_discarded(from.discarded);
    to.set_revalidated(from.revalidated);
    to.set_waits(from.waits);
    to.set_large_made(from.large_made);
    to.set_large_split(from.large_split);
    to.set_large_failed(from.large_failed);
}

MemoryStats from_wire(const wire::MemoryStats& from) {
    return {.resident = from.resident(),
            .resident_max = from.resident_max(),
            .resident_kernel = from.resident_kernel(),
            .limit = from.limit(),
            .dropped = from.dropped(),
            .written_back = from.written_back(),
            .discarded = from.discarded(),
            .revalidated = from.revalidated(),
            .waits = from.waits(),
            .large_made = from.large_made(),
            .large_split = from.large_split(),
            .large_failed = from.large_failed()};
}

void to_wire(const NodeStats& from, wire::NodeStats& to) {
    to_wire(from.memory, *to.mutable_memory());
    to.set_faults(from.faults);
    to.set_fetches_read(from.fetches_read);
    to.set_fetches_write(from.fetches_write);
    to.set_upgrades(from.upgrades);
    to.set_invalidations(from.invalidations);
    to.set_zero_pages(from.zero_pages);
    to.set_prefetches(from.prefetches);
    to.set_prefetch_used(from.prefetch_used);
    to.set_prefetch_wasted(from.prefetch_wasted);
    to.set_hold_us(from.hold_us);
    to.mutable_read_ahead()->set_asked(from.read_ahead.asked);
    to.mutable_read_ahead()->set_used(from.read_ahead.used);
    to.mutable_read_ahead()->set_wasted(from.read_ahead.wasted);
    to.set_ships_out(from.ships_out);
    to.set_ships_in(from.ships_in);
    to.set_ship_frame_bytes_max(from.ship_frame_bytes_max);
    to.mutable_ship_blackout_us()->Add(from.ship_blackout_us.begin(), from.ship_blackout_us.end());
    to.mutable_ship_frame_bytes()->Add(from.ship_frame_bytes.begin(), from.ship_frame_bytes.end());
    for (const NodeStats::VcpuStats& vcpu : from.vcpus) {
        wire::VcpuStats& out = *to.add_vcpus();
        out.set_id(vcpu.id.value());
        out.set_here(vcpu.here);
        out.set_exits(vcpu.exits);
        out.set_activity(to_wire(vcpu.activity));
        to_wire(vcpu.decision, *out.mutable_decision());
    }
    to_wire(from.fabric, *to.mutable_fabric());
}

NodeStats from_wire(const wire::NodeStats& from) {
    NodeStats stats;
    stats.memory = from_wire(from.memory());
    stats.faults = from.faults();
    stats.fetches_read = from.fetches_read();
    stats.fetches_write = from.fetches_write();
    stats.upgrades = from.upgrades();
    stats.invalidations = from.invalidations();
    stats.zero_pages = from.zero_pages();
    stats.prefetches = from.prefetches();
    stats.prefetch_used = from.prefetch_used();
    stats.prefetch_wasted = from.prefetch_wasted();
    stats.hold_us = from.hold_us();
    stats.read_ahead = {.asked = from.read_ahead().asked(),
                        .used = from.read_ahead().used(),
                        .wasted = from.read_ahead().wasted()};
    stats.ships_out = from.ships_out();
    stats.ships_in = from.ships_in();
    stats.ship_frame_bytes_max = from.ship_frame_bytes_max();
    stats.ship_blackout_us.assign(from.ship_blackout_us().begin(), from.ship_blackout_us().end());
    stats.ship_frame_bytes.assign(from.ship_frame_bytes().begin(), from.ship_frame_bytes().end());
    for (const wire::VcpuStats& vcpu : from.vcpus())
        stats.vcpus.push_back({.id = VcpuId{static_cast<std::uint16_t>(vcpu.id())},
                               .here = vcpu.here(),
                               .exits = vcpu.exits(),
                               .activity = from_wire(vcpu.activity()),
                               .decision = from_wire(vcpu.decision())});
    stats.fabric = from_wire(from.fabric());
    return stats;
}

wire::GuestEnded::How to_wire(GuestEnd how) {
    switch (how) {
        case GuestEnd::power_off:
            return wire::GuestEnded::POWER_OFF;
        case GuestEnd::reset:
            return wire::GuestEnded::RESET;
        case GuestEnd::crashed:
            return wire::GuestEnded::CRASHED;
    }
    return wire::GuestEnded::CRASHED;
}

GuestEnd from_wire(wire::GuestEnded::How how) {
    if (how == wire::GuestEnded::POWER_OFF) return GuestEnd::power_off;
    if (how == wire::GuestEnded::RESET) return GuestEnd::reset;
    return GuestEnd::crashed;
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

}  // namespace vsmp::control
