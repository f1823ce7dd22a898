// vsmp-run: one guest in the foreground.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dpdk_transport/crypto/key_ring.hpp"
#include "locality_ml/policies.hpp"
#include "vmm/control/log.hpp"
#include "vmm/control/run_options.hpp"
#include "vmm/cpu/cpuid.hpp"
#include "vmm/node/guest_image.hpp"

namespace {

constexpr const char* kFooter = R"(
Ctrl-] stops the guest. vsmpctl talks to it from another terminal.

Exit status:
  0  the guest powered itself off
  2  the command line, the XML or a file that it names is wrong
  3  the guest asked for a reset (there is no second boot yet)
  4  the guest crashed
  5  a node, its host or its link failed or could not be reached
  6  stopped by Ctrl-], vsmpctl stop or a signal)";

// CLI11 can map names to values itself, but then prints the values where it lists the names.
template <class Value>
void add_choice(CLI::App& app, const std::string& name, const std::string& help,
                std::map<std::string, Value> choices, std::optional<Value>& chosen) {
    std::vector<std::string> names;
    for (const auto& [word, value] : choices) names.push_back(word);
    app.add_option_function<std::string>(
           name, [choices, &chosen](const std::string& word) { chosen = choices.at(word); }, help)
        ->check(CLI::IsMember(names));
}

// Of as many digits as a real one: it becomes a word of the kernel's command line.
constexpr std::uint64_t kSomeTscKhz = 9'999'999;

// Each node reads its own host's; this host's are looked at before anything is started.
vsmp::Result<void> check_key_file(const vsmp::GuestConfig& guest) {
    const std::string& path = guest.fabric.key_file;
    const bool here = std::ranges::any_of(
        guest.nodes, [](const vsmp::NodeConfig& node) { return node.host == "local"; });
    if (path.empty() || !here) return {};
    const auto file = vsmp::fabric::KeyFile::open(path);
    if (!file) return file.error();
    return {};
}

vsmp::Result<void> check_guest(const vsmp::GuestConfig& guest,
                               const vsmp::control::BootFiles& files) {
    VSMP_TRY(vsmp::locality::make_policy(guest.policy, {}));
    const auto good = vsmp::check_guest_image({.guest = guest,
                                               .kind = files.kind,
                                               .kernel = files.kernel,
                                               .initrd = files.initrd,
                                               .cpuid = {},
                                               .tsc_khz = kSomeTscKhz});
    if (!good) return good.error().in("loading " + guest.boot.kernel);
    return check_key_file(guest);
}

}  // namespace

int main(int argc, char** argv) {
    using vsmp::Spread;
    vsmp::control::RunOptions options;
    options.node_program = vsmp::control::sibling_program("vsmp-node");
    CLI::App app{"Runs the guest that a libvirt domain XML file describes, on all its nodes."};
    app.footer(kFooter);
    app.add_option("guest.xml", options.guest_file, "domain XML with vsmp metadata")->required();
    app.add_option("--local", options.local_count,
                   "run all nodes, N of them, as processes of this machine");
    app.add_option("--timeout", options.timeout_s, "seconds until all links must be up")
        ->check(CLI::Range(1u, 3600u))
        ->capture_default_str();
    app.add_option("--kernel", options.kernel, "kernel to boot instead of the XML's");
    app.add_option("--initrd", options.initrd, "initrd to boot with instead of the XML's");
    app.add_option("--append", options.append, "words added to the kernel command line");
    app.add_option("--hold", options.hold_us,
                   "microseconds that a page is kept once obtained, instead of the XML's")
        ->check(CLI::Range(1u, 1000000u));
    app.add_option("--policy", options.policy, "ship or fetch: instead of the XML's");
    add_choice<Spread>(app, "--spread",
                       "where vCPUs go once the guest is up: to the node of their NUMA cell, or "
                       "nowhere",
                       {{"none", Spread::none}, {"round-robin", Spread::round_robin}},
                       options.spread);
    app.add_option("--spread-after", options.spread_after,
                   "the guest is up when this text is on its console (default: when all its vCPUs "
                   "were started and have been idle for a second)");
    app.add_option("--spin-us", options.spin_us,
                   "how long a node polls its links before it sleeps, instead of the XML's")
        ->check(CLI::Range(0u, 1000000u));
    using vsmp::fabric::Scheduling;
    add_choice<Scheduling>(app, "--scheduling",
                           "of the thread that serves links and page faults, instead of the XML's",
                           {{"auto", Scheduling::automatic},
                            {"normal", Scheduling::normal},
                            {"nice", Scheduling::nice},
                            {"fifo", Scheduling::fifo}},
                           options.scheduling);
    app.add_option("--capture", options.capture_folder,
                   "a folder for node-ID.pcapng, the frames of each node");
    app.add_option("--node-program", options.node_program, "the program that runs a local node")
        ->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(vsmp::control::RunStatus::usage);
    }
    vsmp::control::start_log("vsmp-run");
    return static_cast<int>(vsmp::control::run(options, {vsmp::cpu::intersect, check_guest}));
}
