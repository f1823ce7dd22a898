// vsmpctl: asks a running vsmp-run.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "vmm/control/control_client.hpp"
#include "vmm/control/log.hpp"
#include "vmm/control/report.hpp"

namespace {

using vsmp::wire::ControlReply;
using vsmp::wire::ControlRequest;
enum class Output { table, json };

std::string render(const ControlReply& reply, Output output) {
    using namespace vsmp::control;
    switch (reply.kind_case()) {
        case ControlReply::kStatus:
            return output == Output::json ? status_json(reply.status())
                                          : status_table(reply.status());
        case ControlReply::kStats:
            return output == Output::json ? stats_json(reply.stats()) : stats_table(reply.stats());
        case ControlReply::kExplanation:
            return output == Output::json ? explanation_json(reply.explanation())
                                          : explanation_text(reply.explanation());
        case ControlReply::kDone:
        case ControlReply::kHello:
        case ControlReply::kError:
        case ControlReply::KIND_NOT_SET:
            break;
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Talks to a guest that vsmp-run runs on this machine."};
    app.require_subcommand(1);
    app.footer("vsmpctl SUBCOMMAND --help tells what a subcommand takes.");
    std::string guest, policy_name;
    ControlRequest request;
    std::uint32_t vcpu = 0, node = 0;
    bool json = false;
    app.add_option("--guest", guest, "name of the guest; not needed when only one runs");
    app.add_subcommand("status", "its nodes, and where its vCPUs are")
        ->callback([&] { request.mutable_status(); })
        ->add_flag("--json", json, "for machines");
    app.add_subcommand("stats", "counters of each node")
        ->callback([&] { request.mutable_stats(); })
        ->add_flag("--json", json, "for machines");
    CLI::App* ship = app.add_subcommand("ship", "moves a vCPU to a node");
    ship->add_option("VCPU", vcpu)->required();
    ship->add_option("NODE", node)->required();
    ship->callback([&] {
        request.mutable_ship()->set_vcpu(vcpu);
        request.mutable_ship()->set_to(node);
    });
    CLI::App* explain =
        app.add_subcommand("explain", "what the policy did with a vCPU last, and why");
    explain->add_option("VCPU", vcpu)->required();
    explain->add_flag("--json", json, "for machines");
    explain->callback([&] { request.mutable_explain()->set_vcpu(vcpu); });
    CLI::App* policy = app.add_subcommand("policy", "changes how it is decided to ship or fetch");
    policy->add_option("NAME", policy_name)->required();
    policy->callback([&] { request.mutable_policy()->set_name(policy_name); });
    app.add_subcommand("stop", "ends the guest at once")->callback([&] { request.mutable_stop(); });
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    vsmp::control::start_log("vsmpctl");
    const auto ask = [&]() -> vsmp::Result<ControlReply> {
        VSMP_TRY_ASSIGN(const std::string name, vsmp::control::choose_guest(guest));
        return vsmp::control::ask_guest(name, request);
    };
    const auto reply = ask();
    if (!reply) {
        spdlog::error("{}", reply.error().message);
        return 1;
    }
    const std::string text = render(*reply, json ? Output::json : Output::table);
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
    spdlog::error("cannot write what the guest answered");
    return 1;
}
