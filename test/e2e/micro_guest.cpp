#include "test/e2e/micro_guest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <thread>

#include "test/micro/programs.hpp"
#include "vmm/control/control_client.hpp"

namespace vsmp::e2e {
namespace {

constexpr auto kReadyPatience = std::chrono::seconds(30);
constexpr auto kMovePatience = std::chrono::seconds(10);
constexpr unsigned kAtTheGate = 99;  // test/micro/entry.cpp
constexpr std::size_t kGateArgument = 15;

// Asks again and again until `holds`; false: it did not within `patience`.
template <class Condition>
bool eventually(std::chrono::milliseconds patience, Condition holds) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}

std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string domain_xml(const Machine& machine, const std::string& name, const std::string& kernel,
                       const std::string& command_line) {
    std::string cells, nodes;
    for (unsigned n = 0; n < machine.nodes; ++n) {
        const unsigned first = n * machine.vcpus_per_node;
        cells += fmt::format("<cell id='{}' cpus='{}-{}' memory='{}' unit='MiB'/>\n", n, first,
                             first + machine.vcpus_per_node - 1, machine.memory_mib);
        std::string link = machine.link;
        if (const auto at = link.find('@'); at != link.npos) link.replace(at, 1, std::to_string(n));
        const std::string limit =
            machine.limit_mib != 0 ? fmt::format(" limit-mib='{}'", machine.limit_mib) : "";
        nodes += fmt::format("<v:node id='{0}' cell='{0}' host='local'{1}><v:link {2}/></v:node>\n",
                             n, limit, link);
    }
    const unsigned hold_us = emulated() ? std::max(machine.hold_us, 10'000U) : machine.hold_us;
    const std::string hold = hold_us != 0 ? fmt::format("<v:hold us='{}'/>\n", hold_us) : "";
    return fmt::format(
        "<domain type='kvm'>\n<name>{}</name>\n"
        "<metadata><v:cluster xmlns:v='urn:vsmp:domain:1'>\n{}<v:policy name='{}'/>\n{}{}"
        "</v:cluster></metadata>\n"
        "<memory unit='MiB'>{}</memory>\n<vcpu>{}</vcpu>\n"
        "<os><type>hvm</type><kernel>{}</kernel><cmdline>{}</cmdline></os>\n"
        "<cpu mode='host-passthrough'><numa>\n{}</numa></cpu>\n</domain>\n",
        name, nodes, machine.policy, hold, machine.settings, machine.nodes * machine.memory_mib,
        machine.vcpus(), kernel, command_line, cells);
}

MicroGuest::MicroGuest(const Machine& machine, const std::string& program,
                       std::vector<std::uint64_t> arguments, Begin begin)
    : machine_(machine),
      begin_(begin),
      run_(command(machine, program, std::move(arguments), begin), control::Streams::pipes,
           patience(machine.patience)) {}

std::vector<std::string> MicroGuest::command(const Machine& machine, const std::string& program,
                                             std::vector<std::uint64_t> arguments,
                                             Begin begin) const {
    arguments.resize(kGateArgument + 1);
    arguments[kGateArgument] = begin == Begin::at_once ? 0 : 1;
    const std::string kernel = scratch_.write(program, as_text(test::micro_program(program)));
    const std::string xml = scratch_.write(
        "guest.xml",
        domain_xml(machine, scratch_.name(), kernel, fmt::format("{}", fmt::join(arguments, " "))));
    std::vector<std::string> words{program_path("vsmp-run"), xml};
    words.insert(words.end(), {"--spread", "none"});
    return words;
}

bool MicroGuest::ready() {
    for (unsigned vcpu = 0; begin_ != Begin::at_once && vcpu < machine_.vcpus(); ++vcpu)
        if (!run_.wait_for(fmt::format("micro vcpu={} report code={}", vcpu, kAtTheGate)))
            return false;
    if (!eventually(patience(kReadyPatience),
                    [&] { return whereabouts(machine_.vcpus() - 1) == 0; }))
        return false;
    for (unsigned vcpu = 0; begin_ == Begin::spread && vcpu < machine_.vcpus(); ++vcpu)
        if (!move(vcpu, vcpu / machine_.vcpus_per_node)) return false;
    return true;
}

bool MicroGuest::ends_well() {
    const int status = wait();
    bool well = status == 0;
    for (unsigned vcpu = 0; vcpu < machine_.vcpus(); ++vcpu)
        well &= run_.output.find(fmt::format("micro vcpu={} finish status=0 ", vcpu)) !=
                std::string::npos;
    return well && run_.error_lines() == 0;
}

Result<wire::ControlReply> MicroGuest::ask(const wire::ControlRequest& request) const {
    return control::ask_guest(scratch_.name(), request);
}

Result<wire::ControlReply> MicroGuest::ship(unsigned vcpu, unsigned node) {
    wire::ControlRequest request;
    request.mutable_ship()->set_vcpu(vcpu);
    request.mutable_ship()->set_to(node);
    return ask(request);
}

// The node, -1 between nodes; an error when the guest has ended.
Result<int> MicroGuest::find(unsigned vcpu) {
    wire::ControlRequest request;
    request.mutable_status();
    VSMP_TRY_ASSIGN(const wire::ControlReply reply, ask(request));
    for (const auto& node : reply.status().nodes())
        for (const auto here : node.vcpus_here())
            if (here == vcpu) return static_cast<int>(node.id());
    return -1;
}

int MicroGuest::whereabouts(unsigned vcpu) {
    const auto found = find(vcpu);
    return found ? *found : -1;
}

bool MicroGuest::move(unsigned vcpu, unsigned node) {
    const auto asked = ship(vcpu, node);
    if (!asked) {  // an end of the guest among others, which may be what a test waits for
        std::cout << "not shipped: " << asked.error().message << '\n';
        return false;
    }
    bool alive = true;
    const auto arrived = [&] {
        const auto found = find(vcpu);
        alive = static_cast<bool>(found);
        return !alive || *found == static_cast<int>(node);
    };
    return eventually(patience(kMovePatience), arrived) && alive;
}

std::vector<wire::NodeStats> MicroGuest::stats() {
    wire::ControlRequest request;
    request.mutable_stats();
    const auto reply = ask(request);
    EXPECT_TRUE(reply) << reply.error().message;
    if (!reply) return {};
    return {reply->stats().nodes().begin(), reply->stats().nodes().end()};
}

std::string MicroGuest::vsmpctl(std::vector<std::string> words, int expected_status) {
    words.insert(words.begin(), {program_path("vsmpctl"), "--guest", scratch_.name()});
    control::Program tool{std::move(words)};
    EXPECT_EQ(tool.wait(), expected_status) << tool.errors;
    return tool.output + tool.errors;
}

std::vector<std::uint64_t> MicroGuest::reports(unsigned vcpu, unsigned code) const {
    const std::string line = fmt::format("micro vcpu={} report code={} value=", vcpu, code);
    std::vector<std::uint64_t> values;
    for (std::size_t at = 0; (at = run_.output.find(line, at)) != std::string::npos;) {
        at += line.size();
        values.push_back(std::stoull(run_.output.substr(at, 18), nullptr, 16));
    }
    return values;
}

}  // namespace vsmp::e2e
