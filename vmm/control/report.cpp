#include "vmm/control/report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace vsmp::control {
namespace {

using Json = nlohmann::ordered_json;

template <class Numbers>
std::uint32_t median(const Numbers& numbers) {
    std::vector<std::uint32_t> sorted(numbers.begin(), numbers.end());
    if (sorted.empty()) return 0;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    return *middle;
}

std::vector<std::uint32_t> vcpus_here(const wire::NodeStats& node) {
    std::vector<std::uint32_t> here;
    for (const auto& vcpu : node.vcpus())
        if (vcpu.here()) here.push_back(vcpu.id());
    return here;
}

std::uint64_t exits(const wire::NodeStats& node) {
    std::uint64_t sum = 0;
    for (const auto& vcpu : node.vcpus()) sum += vcpu.exits();
    return sum;
}

struct Row {
    const char* name;
    std::uint64_t (*value)(const wire::NodeStats&);
};
constexpr Row kRows[] = {
    {"faults", [](const auto& n) { return n.faults(); }},
    {"read fetches", [](const auto& n) { return n.fetches_read(); }},
    {"write fetches", [](const auto& n) { return n.fetches_write(); }},
    {"upgrades", [](const auto& n) { return n.upgrades(); }},
    {"zero pages", [](const auto& n) { return n.zero_pages(); }},
    {"invalidations", [](const auto& n) { return n.invalidations(); }},
    {"policy prefetches", [](const auto& n) { return n.prefetches(); }},
    {"policy pref. used, sampled", [](const auto& n) { return n.prefetch_used(); }},
    {"policy pref. wasted", [](const auto& n) { return n.prefetch_wasted(); }},
    {"read-ahead: asked", [](const auto& n) { return n.read_ahead().asked(); }},
    {"read-ahead: used", [](const auto& n) { return n.read_ahead().used(); }},
    {"read-ahead: wasted", [](const auto& n) { return n.read_ahead().wasted(); }},
    {"hold us", [](const auto& n) { return n.hold_us(); }},
    {"companions: asked", [](const auto& n) { return n.companions().asked(); }},
    {"companions: sample, used", [](const auto& n) { return n.companions().used(); }},
    {"companions: sample, wasted", [](const auto& n) { return n.companions().wasted(); }},
    {"resident pages", [](const auto& n) { return n.memory().resident(); }},
    {"resident pages, most", [](const auto& n) { return n.memory().resident_max(); }},
    {"resident pages, kernel", [](const auto& n) { return n.memory().resident_kernel(); }},
    {"limit, pages", [](const auto& n) { return n.memory().limit(); }},
    {"evicted: dropped", [](const auto& n) { return n.memory().dropped(); }},
    {"evicted: written back", [](const auto& n) { return n.memory().written_back(); }},
    {"given back to the host", [](const auto& n) { return n.memory().discarded(); }},
    {"revalidated", [](const auto& n) { return n.memory().revalidated(); }},
    {"waits for memory", [](const auto& n) { return n.memory().waits(); }},
    {"2 MiB pages: made", [](const auto& n) { return n.memory().large_made(); }},
    {"2 MiB pages: split", [](const auto& n) { return n.memory().large_split(); }},
    {"2 MiB pages: refused", [](const auto& n) { return n.memory().large_failed(); }},
    {"ships out", [](const auto& n) { return n.ships_out(); }},
    {"ships in", [](const auto& n) { return n.ships_in(); }},
    {"ship frame bytes, largest", [](const auto& n) { return n.ship_frame_bytes_max(); }},
    {"ship blackout us, median",
     [](const auto& n) { return std::uint64_t{median(n.ship_blackout_us())}; }},
    {"frames sent", [](const auto& n) { return n.fabric().frames_sent(); }},
    {"frames received", [](const auto& n) { return n.fabric().frames_received(); }},
    {"bytes sent", [](const auto& n) { return n.fabric().bytes_sent(); }},
    {"bytes received", [](const auto& n) { return n.fabric().bytes_received(); }},
    {"retransmissions", [](const auto& n) { return n.fabric().retransmissions(); }},
    {"duplicates", [](const auto& n) { return n.fabric().duplicates(); }},
    {"rejected frames", [](const auto& n) { return n.fabric().rejected(); }},
    {"vCPU exits", [](const auto& n) { return exits(n); }},
};

// Shown only where there is something to show.
constexpr Row kUnusual[] = {
    {"rejected: stale", [](const auto& n) { return n.fabric().stale(); }},
    {"rejected: impossible ack", [](const auto& n) { return n.fabric().impossible(); }},
    {"rejected: outside window", [](const auto& n) { return n.fabric().outside_window(); }},
    {"dropped: other traffic", [](const auto& n) { return n.drops().other_traffic(); }},
    {"dropped: other guest", [](const auto& n) { return n.drops().other_guest(); }},
    {"dropped: other cluster", [](const auto& n) { return n.drops().other_cluster(); }},
    {"dropped: other destination", [](const auto& n) { return n.drops().other_destination(); }},
    {"dropped: other version", [](const auto& n) { return n.drops().other_version(); }},
    {"dropped: malformed", [](const auto& n) { return n.drops().malformed(); }},
    {"dropped: damaged", [](const auto& n) { return n.drops().damaged(); }},
    {"dropped: unprotected", [](const auto& n) { return n.drops().unprotected(); }},
    {"dropped: unauthentic", [](const auto& n) { return n.drops().unauthentic(); }},
    {"dropped: unknown key", [](const auto& n) { return n.drops().unknown_key(); }},
    {"dropped: replayed", [](const auto& n) { return n.drops().replayed(); }},
};

Json to_json(const wire::LinkCounters& fabric) {
    return {{"frames_sent", fabric.frames_sent()},
            {"frames_received", fabric.frames_received()},
            {"bytes_sent", fabric.bytes_sent()},
            {"bytes_received", fabric.bytes_received()},
            {"messages_sent", fabric.messages_sent()},
            {"messages_received", fabric.messages_received()},
            {"retransmissions", fabric.retransmissions()},
            {"duplicates", fabric.duplicates()},
            {"out_of_order", fabric.out_of_order()},
            {"needless", fabric.needless()},
            {"rejected", fabric.rejected()},
            {"rejected_stale", fabric.stale()},
            {"rejected_impossible_ack", fabric.impossible()},
            {"rejected_outside_window", fabric.outside_window()}};
}

const char* state_name(wire::PathStats::State state) {
    if (state == wire::PathStats::UP) return "up";
    return state == wire::PathStats::SILENT ? "silent" : "unknown";
}

Json to_json(const wire::PathStats& path) {
    return {{"peer", path.peer()},
            {"port", path.port()},
            {"state", state_name(path.state())},
            {"mtu", path.mtu()},
            {"agreed_mtu", path.agreed_mtu()},
            {"round_trip_us", static_cast<double>(path.round_trip_ns()) / 1e3},
            {"frames_sent", path.frames_sent()},
            {"frames_received", path.frames_received()},
            {"bytes_sent", path.bytes_sent()},
            {"bytes_received", path.bytes_received()}};
}

Json to_json(const wire::DropCounters& drops) {
    return {{"other_traffic", drops.other_traffic()},
            {"other_guest", drops.other_guest()},
            {"other_cluster", drops.other_cluster()},
            {"other_destination", drops.other_destination()},
            {"other_version", drops.other_version()},
            {"malformed", drops.malformed()},
            {"damaged", drops.damaged()},
            {"unprotected", drops.unprotected()},
            {"unauthentic", drops.unauthentic()},
            {"unknown_key", drops.unknown_key()},
            {"replayed", drops.replayed()}};
}

// A line for each way from one node to another.
std::string path_lines(const wire::ControlReply::Stats& stats) {
    std::string out;
    for (int node = 0; node < stats.nodes_size(); ++node)
        for (const auto& path : stats.nodes(node).paths()) {
            const std::string mtu = path.mtu() < path.agreed_mtu()
                                        ? fmt::format("{} of {}", path.mtu(), path.agreed_mtu())
                                        : std::to_string(path.mtu());
            out += fmt::format(
                "path {} -> {}  {:<24} {}, MTU {}, {:.0f} us, sent {} frames {} KiB, received {} "
                "frames {} KiB\n",
                node, path.peer(), path.port(), state_name(path.state()), mtu,
                static_cast<double>(path.round_trip_ns()) / 1e3, path.frames_sent(),
                path.bytes_sent() >> 10, path.frames_received(), path.bytes_received() >> 10);
        }
    return out;
}

const char* activity_name(wire::VcpuStats::Activity activity) {
    if (activity == wire::VcpuStats::RUNNING) return "running";
    return activity == wire::VcpuStats::HALTED ? "halted" : "waiting";
}

Json to_json(const wire::MemoryStats& memory) {
    return {{"resident", memory.resident()},
            {"resident_max", memory.resident_max()},
            {"resident_kernel", memory.resident_kernel()},
            {"limit", memory.limit()},
            {"dropped", memory.dropped()},
            {"written_back", memory.written_back()},
            {"discarded", memory.discarded()},
            {"revalidated", memory.revalidated()},
            {"waits", memory.waits()},
            {"large_made", memory.large_made()},
            {"large_split", memory.large_split()},
            {"large_failed", memory.large_failed()}};
}

Json to_json(const wire::NodeStats& node) {
    Json vcpus = Json::array();
    for (const auto& vcpu : node.vcpus())
        vcpus.push_back({{"id", vcpu.id()},
                         {"here", vcpu.here()},
                         {"exits", vcpu.exits()},
                         {"activity", activity_name(vcpu.activity())}});
    Json paths = Json::array();
    for (const auto& path : node.paths()) paths.push_back(to_json(path));
    const auto& blackout = node.ship_blackout_us();
    const auto& frame = node.ship_frame_bytes();
    return {{"faults", node.faults()},
            {"fetches_read", node.fetches_read()},
            {"fetches_write", node.fetches_write()},
            {"upgrades", node.upgrades()},
            {"zero_pages", node.zero_pages()},
            {"invalidations", node.invalidations()},
            {"prefetches", node.prefetches()},
            {"prefetch_used", node.prefetch_used()},
            {"prefetch_wasted", node.prefetch_wasted()},
            {"read_ahead",
             {{"asked", node.read_ahead().asked()},
              {"used", node.read_ahead().used()},
              {"wasted", node.read_ahead().wasted()}}},
            {"hold_us", node.hold_us()},
            {"companions",
             {{"asked", node.companions().asked()},
              {"used", node.companions().used()},
              {"wasted", node.companions().wasted()}}},
            {"memory", to_json(node.memory())},
            {"ships_out", node.ships_out()},
            {"ships_in", node.ships_in()},
            {"ship_frame_bytes_max", node.ship_frame_bytes_max()},
            {"ship_blackout_us", std::vector<std::uint32_t>(blackout.begin(), blackout.end())},
            {"ship_frame_bytes", std::vector<std::uint32_t>(frame.begin(), frame.end())},
            {"vcpus", vcpus},
            {"fabric", to_json(node.fabric())},
            {"paths", paths},
            {"dropped", to_json(node.drops())}};
}

// A guest's name may hold any bytes; invalid UTF-8 is replaced rather than thrown about.
std::string dump(const Json& json) {
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string status_table(const wire::ControlReply::Status& status) {
    std::string out = fmt::format("guest {}: {}, {} vCPUs, {} nodes\n", status.guest(),
                                  status.state(), status.vcpu_count(), status.nodes_size());
    out += fmt::format("{:>4}  {:<24} {:<28} {:>10}  {}\n", "node", "host", "link", "memory",
                       "vCPUs here");
    for (const auto& node : status.nodes())
        out +=
            fmt::format("{:>4}  {:<24} {:<28} {:>6} MiB  {}\n", node.id(), node.host(), node.link(),
                        node.memory_bytes() >> 20, fmt::join(node.vcpus_here(), " "));
    return out;
}

std::string stats_table(const wire::ControlReply::Stats& stats) {
    std::string out = fmt::format("{:<26}", "guest " + stats.guest());
    for (int node = 0; node < stats.nodes_size(); ++node)
        out += fmt::format(" {:>14}", fmt::format("node {}", node));
    out += "\n";
    const auto add = [&](const Row& row) {
        out += fmt::format("{:<26}", row.name);
        for (const auto& node : stats.nodes()) out += fmt::format(" {:>14}", row.value(node));
        out += "\n";
    };
    for (const Row& row : kRows) add(row);
    for (const Row& row : kUnusual)
        if (std::ranges::any_of(stats.nodes(), [&](const auto& n) { return row.value(n) > 0; }))
            add(row);
    out += fmt::format("{:<26}", "vCPUs here");
    for (const auto& node : stats.nodes())
        out += fmt::format(" {:>14}", fmt::format("{}", fmt::join(vcpus_here(node), " ")));
    return out + "\n" + path_lines(stats);
}

std::string explanation_text(const wire::ControlReply::Explanation& explanation) {
    std::string out = fmt::format("guest {}, vCPU {}\n", explanation.guest(), explanation.vcpu());
    for (const auto& node : explanation.nodes()) {
        const wire::PolicyDecision& decision = node.decision();
        out += fmt::format("node {}{}: {}", node.id(), node.here() ? " (it is here)" : "",
                           decision.policy());
        if (!decision.made()) {
            out += decision.why().empty() ? ", nothing to decide so far\n"
                                          : fmt::format(", {}\n", decision.why());
            continue;
        }
        out += fmt::format(", {:.3f} s ago\n  {} for page {:#x}, which was on node {}\n",
                           static_cast<double>(decision.ago_us()) / 1e6,
                           decision.has_shipped_to()
                               ? fmt::format("shipped to node {}", decision.shipped_to())
                               : "stayed",
                           decision.page(), decision.location());
        out += fmt::format("  because {}\n", decision.why());
        for (const auto& number : decision.numbers())
            out += fmt::format("  {:<34} {:>12.6g}\n", number.name(), number.value());
    }
    return out;
}

std::string explanation_json(const wire::ControlReply::Explanation& explanation) {
    Json nodes = Json::array();
    for (const auto& node : explanation.nodes()) {
        const wire::PolicyDecision& decision = node.decision();
        Json one{{"id", node.id()},
                 {"here", node.here()},
                 {"policy", decision.policy()},
                 {"why", decision.why()}};
        if (decision.made()) {
            one["ago_us"] = decision.ago_us();
            one["page"] = decision.page();
            one["location"] = decision.location();
            if (decision.has_shipped_to()) one["shipped_to"] = decision.shipped_to();
            for (const auto& number : decision.numbers())
                one["numbers"][number.name()] = number.value();
        }
        nodes.push_back(std::move(one));
    }
    return dump({{"guest", explanation.guest()}, {"vcpu", explanation.vcpu()}, {"nodes", nodes}});
}

std::string status_json(const wire::ControlReply::Status& status) {
    Json nodes = Json::array();
    for (const auto& node : status.nodes())
        nodes.push_back({{"id", node.id()},
                         {"host", node.host()},
                         {"link", node.link()},
                         {"memory_bytes", node.memory_bytes()},
                         {"vcpus_here", std::vector<std::uint32_t>(node.vcpus_here().begin(),
                                                                   node.vcpus_here().end())}});
    return dump({{"guest", status.guest()},
                 {"state", status.state()},
                 {"vcpu_count", status.vcpu_count()},
                 {"nodes", nodes}});
}

std::string stats_json(const wire::ControlReply::Stats& stats) {
    Json nodes = Json::array();
    for (int i = 0; i < stats.nodes_size(); ++i) {
        Json node = to_json(stats.nodes(i));
        node["id"] = i;
        nodes.push_back(std::move(node));
    }
    return dump({{"guest", stats.guest()}, {"nodes", nodes}});
}

}  // namespace vsmp::control
