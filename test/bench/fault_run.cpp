#include "test/bench/fault_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "vmm/control/control_client.hpp"

namespace vsmp::bench {
namespace {

using namespace std::chrono_literals;
using wire::ControlReply;
using wire::ControlRequest;

constexpr unsigned kNodeMebibytes = 64;
constexpr std::uint32_t kMeasured = 20;  // test/micro/faults.cpp has the codes

std::string link_xml(const FaultRun& run) {
    if (run.port == PortKind::veth) return "<vsmp:link type='auto'/>";
    return fmt::format("<vsmp:link type='vhost-user' socket='{}/link'/>", run.folder);
}

// The vCPU belongs to node 1: spreading takes it there.
std::string guest_xml(const FaultRun& run) {
    return fmt::format(
        R"(<domain type='kvm'>
  <name>{name}</name>
  <metadata>
    <vsmp:cluster xmlns:vsmp='urn:vsmp:domain:1'>
      <vsmp:node id='0' cell='0' host='local'>{link}</vsmp:node>
      <vsmp:node id='1' cell='1' host='local'>{link}</vsmp:node>
      <vsmp:policy name='always-fetch'/>
      <vsmp:spread mode='round-robin'/>
    </vsmp:cluster>
  </metadata>
  <memory unit='MiB'>{total}</memory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64'>hvm</type>
    <kernel>{kernel}</kernel>
    <cmdline>{remote} {touches} {interval}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'>
    <numa>
      <cell id='0' memory='{each}' unit='MiB'/>
      <cell id='1' cpus='0' memory='{each}' unit='MiB'/>
    </numa>
  </cpu>
  <clock offset='utc'/>
</domain>
)",
        fmt::arg("name", run.name), fmt::arg("link", link_xml(run)),
        fmt::arg("total", 2 * kNodeMebibytes), fmt::arg("each", kNodeMebibytes),
        fmt::arg("kernel", VSMP_MICRO_DIR "/faults"),
        fmt::arg("remote", std::uint64_t{kNodeMebibytes} << 20), fmt::arg("touches", run.touches),
        fmt::arg("interval", run.interval_ticks));
}

struct ClosePipe {
    void operator()(std::FILE* pipe) const { ::pclose(pipe); }
};
using Pipe = std::unique_ptr<std::FILE, ClosePipe>;

std::string log_of(const FaultRun& run) {
    std::ifstream file{run.folder + "/log"};
    return {std::istreambuf_iterator<char>{file}, {}};
}

Result<ControlReply> ask(const FaultRun& run, const ControlRequest& request) {
    return control::ask_guest(run.name, request);
}

// A ship is refused while the one before has not ended.
Result<> ship(const FaultRun& run, unsigned to) {
    ControlRequest request;
    request.mutable_ship()->set_vcpu(0);
    request.mutable_ship()->set_to(to);
    for (int attempt = 0;; ++attempt) {
        const auto reply = ask(run, request);
        if (reply) return {};
        if (attempt == 50) return reply.error();
        std::this_thread::sleep_for(2ms);
    }
}

Result<> read_stats(const FaultRun& run, std::size_t ships, FaultSamples& samples) {
    ControlRequest request;
    request.mutable_stats();
    for (int attempt = 0;; ++attempt) {
        VSMP_TRY_ASSIGN(const ControlReply reply, ask(run, request));
        samples.ship_us.clear();
        samples.fetches = 0;
        for (const wire::NodeStats& node : reply.stats().nodes()) {
            samples.ship_us.insert(samples.ship_us.end(), node.ship_blackout_us().begin(),
                                   node.ship_blackout_us().end());
            samples.ship_frame_bytes_max =
                std::max(samples.ship_frame_bytes_max, std::uint64_t{node.ship_frame_bytes_max()});
            samples.fetches += node.fetches_read() + node.fetches_write() + node.upgrades();
        }
        if (samples.ship_us.size() >= ships) return {};
        if (attempt == 500)
            return Error{fmt::format("only {} of {} ships arrived", samples.ship_us.size(), ships)};
        std::this_thread::sleep_for(2ms);
    }
}

Result<> ship_about(const FaultRun& run, FaultSamples& samples) {
    for (unsigned i = 0; i < run.ships; ++i) {  // the spreader's ship was the first
        VSMP_TRY(ship(run, i % 2));
        VSMP_TRY(read_stats(run, i + 2, samples));
    }
    if (samples.fetches < 4 * run.touches)
        return Error{
            fmt::format("only {} pages were fetched: the vCPU was not on node 1", samples.fetches)};
    return {};
}

// Reads the console up to the end of the measurement.
Result<> collect(const FaultRun& run, std::FILE* console, FaultSamples& samples) {
    char line[256];
    while (std::fgets(line, sizeof line, console) != nullptr) {
        unsigned code = 0;
        unsigned long long value = 0;
        if (std::sscanf(line, "micro vcpu=0 report code=%u value=%llx", &code, &value) != 2)
            continue;
        if (code == kMeasured) return {};
        if (code >= 1 && code <= kTouchKinds)
            samples.touch_ticks[code - 1].push_back(static_cast<double>(value));
    }
    return Error{"vsmp-run: " + log_of(run)};
}

}  // namespace

Result<FaultSamples> run_faults(const FaultRun& run) {
    const std::string xml = run.folder + "/guest.xml";
    std::ofstream{xml} << guest_xml(run);
    const std::string command = fmt::format(
        "exec '{}/vsmp-run' --local 2 --spread-after code=10 "
        "--node-program '{}' '{}' 2>'{}/log' </dev/null",
        VSMP_PROGRAM_DIR,
        run.node_program.empty() ? VSMP_PROGRAM_DIR "/vsmp-node" : run.node_program, xml,
        run.folder);
    const Pipe console{::popen(command.c_str(), "r")};
    if (!console) return Error::from_errno("popen vsmp-run");
    FaultSamples samples;
    VSMP_TRY(collect(run, console.get(), samples));
    const Result<> shipped = ship_about(run, samples);
    ControlRequest request;
    request.mutable_stop();
    VSMP_TRY(ask(run, request));
    if (!shipped) return shipped.error();
    return samples;
}

}  // namespace vsmp::bench
