#include "vmm/control/run_options.hpp"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "vmm/config/domain_xml.hpp"
#include "vmm/control/stop_signals.hpp"

namespace vsmp::control {
namespace {

Result<RunRequest> make_request(const RunOptions& options, const GuestCheck& check) {
    VSMP_TRY_ASSIGN(config::DomainXml xml, config::read_domain_xml(options.guest_file));
    for (const std::string& warning : xml.warnings) spdlog::warn("{}", warning);
    RunRequest request;
    request.guest = std::move(xml.guest);
    BootConfig& boot = request.guest.boot;
    if (options.kernel) boot.kernel = *options.kernel;
    if (options.initrd) boot.initrd = *options.initrd;
    if (options.hold_us) request.guest.hold = std::chrono::microseconds(*options.hold_us);
    if (options.read_ahead) request.guest.read_ahead = *options.read_ahead;
    if (options.companions) request.guest.companions = *options.companions;
    if (options.large_pages) request.guest.large_pages = *options.large_pages;
    if (options.append) boot.command_line += " " + *options.append;
    if (options.policy) request.guest.policy = *options.policy;
    if (options.spread) request.guest.spread = *options.spread;
    FabricConfig& fabric = request.guest.fabric;
    if (options.spin_us) fabric.spin = std::chrono::microseconds(*options.spin_us);
    if (options.scheduling) fabric.scheduling = *options.scheduling;
    if (!options.capture_folder.empty())
        fabric.capture_folder = std::filesystem::absolute(options.capture_folder);
    VSMP_TRY(place_nodes(request.guest, options.local_count));
    VSMP_TRY(check_folders(request.guest));
    auto files = load_boot_files(boot);
    if (!files) return files.error().in(options.guest_file);
    request.files = *std::move(files);
    VSMP_TRY(check(request.guest, request.files));
    request.start_timeout = std::chrono::seconds(options.timeout_s);
    request.spread_marker = options.spread_after;
    request.node_program = options.node_program;
    return request;
}

}  // namespace

RunStatus run(const RunOptions& options, const Experts& experts) {
    end_at_once_on_signals();
    auto request = make_request(options, experts.check);
    if (!request) {
        spdlog::error("{}", request.error().message);
        return RunStatus::usage;
    }
    request->intersect = experts.intersect;
    return run_guest(*std::move(request));
}

std::string sibling_program(const std::string& name) {
    std::error_code code;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", code);
    return code ? name : (self.parent_path() / name).string();
}

}  // namespace vsmp::control
