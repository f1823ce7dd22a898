#include "vmm/control/convert.hpp"

#include <algorithm>

#include "vmm/control/convert_fabric.hpp"
#include "vmm/control/protocol.hpp"

namespace vsmp::control {
namespace {

constexpr std::uint16_t kMaxGuestVcpus = 255;
constexpr int kMaxCpuidLeaves = 1024;

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
    if (from.links().empty() || from.links().size() > static_cast<int>(kMaxLinks))
        return malformed("number of links of a node");
    for (const wire::Link& link : from.links()) {
        VSMP_TRY_ASSIGN(LinkConfig read, control::from_wire(link));
        node.links.push_back(std::move(read));
    }
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
        for (const LinkConfig& link : node.links) to_wire(link, *out.add_links());
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
            .waits = from.waits()};
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
    for (const NodeStats::PathTo& path : from.paths) {
        wire::PathStats& out = *to.add_paths();
        out.set_peer(path.peer.value());
        to_wire(path.stats, out);
    }
    to_wire(from.drops, *to.mutable_drops());
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
    for (const wire::PathStats& path : from.paths())
        stats.paths.push_back({NodeId{static_cast<std::uint8_t>(path.peer())}, from_wire(path)});
    stats.drops = from_wire(from.drops());
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

}  // namespace vsmp::control
