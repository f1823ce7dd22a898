// bench_port: round trips between two processes of this machine, over a bare port and through the
// fabric on the same port. Makes and removes its own veth pair (in a network namespace of its own)
// or vhost-user socket.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <limits>

#include "dpdk_transport/bench/network_sandbox.hpp"
#include "dpdk_transport/bench/ping_pong.hpp"
#include "dpdk_transport/make_fabric.hpp"
#include "dpdk_transport/ports/open_port.hpp"

namespace vsmp::fabric {
namespace {

enum class PortKind { veth, vhost };
enum class Output { text, json };

struct Settings {
    PortKind port = PortKind::veth;
    Output output = Output::text;
    std::vector<std::size_t> payloads{64, 4200, 8900};
    PingPong ping;
    std::string folder;  // for the vhost-user socket
};

double us(Duration duration) {
    return std::chrono::duration<double, std::micro>(duration).count();
}

PortOptions port_options(const Settings& settings, int self) {
    if (settings.port == PortKind::veth) return AfPacketOptions{self == 0 ? "bench0" : "bench1"};
    VhostUserOptions options;
    options.socket = settings.folder + "/link";
    options.role = self == 0 ? VhostRole::server : VhostRole::client;
    return options;
}

Result<std::unique_ptr<Fabric>> fabric_on(std::unique_ptr<Port> port, int self) {
    FabricOptions options;
    options.self = NodeId{static_cast<std::uint8_t>(self)};
    options.node_count = 2;
    options.guest = 1;
    options.incarnation = random_incarnation();
    std::vector<std::unique_ptr<Port>> ports;
    ports.push_back(std::move(port));
    return make_fabric(options, std::move(ports));
}

struct Row {
    std::size_t payload = 0;
    Duration raw_median{}, raw_p99{}, fabric_median{}, fabric_p99{};
};

void print(const Settings& settings, const std::vector<Row>& rows) {
    const char* port = settings.port == PortKind::veth ? "af_packet on veth" : "vhost-user pair";
    const auto ratio = [](const Row& row) { return us(row.fabric_median) / us(row.raw_median); };
    if (settings.output == Output::json) {
        std::printf("{\"port\": \"%s\", \"rounds\": %zu, \"interval_us\": %.0f, \"sizes\": [", port,
                    settings.ping.rounds, us(settings.ping.interval));
        for (std::size_t i = 0; i < rows.size(); ++i)
            std::printf(
                "%s{\"payload\": %zu, \"port_median_us\": %.2f, \"port_p99_us\": %.2f, "
                "\"fabric_median_us\": %.2f, \"fabric_p99_us\": %.2f, "
                "\"rtt_over_port\": %.3f}",
                i == 0 ? "" : ", ", rows[i].payload, us(rows[i].raw_median), us(rows[i].raw_p99),
                us(rows[i].fabric_median), us(rows[i].fabric_p99), ratio(rows[i]));
        std::printf("]}\n");
        return;
    }
    std::printf("round trip over %s, us (median / p99)\n%8s %20s %20s %8s\n", port, "payload",
                "bare port", "fabric", "ratio");
    for (const Row& row : rows)
        std::printf("%8zu %10.1f / %7.1f %10.1f / %7.1f %8.2f\n", row.payload, us(row.raw_median),
                    us(row.raw_p99), us(row.fabric_median), us(row.fabric_p99), ratio(row));
}

Result<> ping_side(const Settings& settings, std::unique_ptr<Port> port) {
    std::vector<Row> rows;
    PingPong ping = settings.ping;
    for (std::size_t payload : settings.payloads) {
        ping.payload = payload;
        VSMP_TRY_ASSIGN(const Latencies raw, ping_port(*port, ping));
        rows.push_back({payload, raw.median(), raw.p99(), {}, {}});
    }
    stop_echo(*port);
    VSMP_TRY_ASSIGN(const std::unique_ptr<Fabric> fabric, fabric_on(std::move(port), 0));
    for (Row& row : rows) {
        ping.payload = row.payload;
        VSMP_TRY_ASSIGN(const Latencies latencies, ping_fabric(*fabric, NodeId{1}, ping));
        row.fabric_median = latencies.median();
        row.fabric_p99 = latencies.p99();
    }
    VSMP_TRY(stop_echo(*fabric, NodeId{1}));
    print(settings, rows);
    return {};
}

Result<> play(const Settings& settings, int self) {
    VSMP_TRY_ASSIGN(const std::shared_ptr<Eal> eal, Eal::start({}));
    VSMP_TRY_ASSIGN(std::unique_ptr<Port> port, open_port(eal, port_options(settings, self)));
    if (self == 0) return ping_side(settings, std::move(port));
    VSMP_TRY(echo_port(*port, settings.ping.waiting));
    VSMP_TRY_ASSIGN(const std::unique_ptr<Fabric> fabric, fabric_on(std::move(port), 1));
    return echo_fabric(*fabric, NodeId{0}, settings.ping.waiting);
}

int in_two_processes(const Settings& settings) {
    pid_t children[2];
    for (int self = 0; self < 2; ++self) {
        children[self] = ::fork();
        if (children[self] != 0) continue;
        const Result<> result = play(settings, self);
        if (!result) std::cerr << "bench_port: " << result.error().message << "\n";
        std::fflush(stdout);
        ::_exit(result ? 0 : 1);
    }
    int worst = 0;
    for (pid_t child : children) {
        int status = 0;
        ::waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) worst = 1;
    }
    return worst;
}

int run(Settings settings) {
    if (settings.port == PortKind::veth) {
        const std::string problem = enter_network_sandbox();
        if (!problem.empty() || !add_veth("bench0", "bench1")) {
            std::cerr << "bench_port: no veth pair: " << problem << "\n";
            return 1;
        }
        return in_two_processes(settings);
    }
    char folder[] = "/tmp/vsmp-bench-XXXXXX";
    if (::mkdtemp(folder) == nullptr) {
        std::cerr << "bench_port: " << Error::from_errno("mkdtemp").message << "\n";
        return 1;
    }
    settings.folder = folder;
    const int code = in_two_processes(settings);
    std::filesystem::remove_all(settings.folder);
    return code;
}

}  // namespace
}  // namespace vsmp::fabric

int main(int argc, char** argv) {
    using namespace vsmp;
    using namespace vsmp::fabric;
    Settings settings;
    CLI::App app{"Round trips over a bare port and through the fabric."};
    const std::map<std::string, PortKind> kinds{{"veth", PortKind::veth},
                                                {"vhost", PortKind::vhost}};
    int interval_us = 0, spin_us = 20;
    bool busy = false, json = false;
    app.add_option("--port", settings.port, "veth (af_packet, needs root) or vhost")
        ->transform(CLI::CheckedTransformer(kinds));
    app.add_option("--payload", settings.payloads, "sizes in bytes, comma separated")
        ->delimiter(',')
        ->check(CLI::Range(std::size_t{16}, kMaxPayload));
    app.add_option("--rounds", settings.ping.rounds)->check(CLI::PositiveNumber);
    app.add_option("--interval-us", interval_us, "pause between rounds")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--spin-us", spin_us, "poll for so long before sleeping")
        ->check(CLI::NonNegativeNumber);
    app.add_flag("--busy", busy, "never sleep");
    app.add_flag("--json", json);
    CLI11_PARSE(app, argc, argv);
    settings.ping.interval = std::chrono::microseconds(interval_us);
    settings.ping.waiting.spin = busy ? Duration::max() : std::chrono::microseconds(spin_us);
    settings.output = json ? Output::json : Output::text;
    return run(settings);
}
