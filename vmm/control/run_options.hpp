// From vsmp-run's command line to a running guest.
#pragma once

#include <optional>
#include <string>

#include "vmm/control/launcher.hpp"

namespace vsmp::control {

struct RunOptions {
    std::string guest_file;
    std::optional<unsigned> local_count;
    std::optional<unsigned> hold_us;                    // instead of the XML's
    std::optional<std::uint64_t> read_ahead;            // instead of the XML's
    std::optional<std::uint64_t> companions;            // likewise
    std::optional<bool> large_pages;                    // likewise
    std::optional<std::string> kernel, initrd, append;  // instead of, or added to, the XML's
    std::optional<std::string> policy;                  // instead of the XML's
    std::optional<Spread> spread;                       // instead of the XML's
    std::optional<unsigned> spin_us;                    // instead of the XML's
    std::optional<fabric::Scheduling> scheduling;       // instead of the XML's
    std::string capture_folder;                         // empty: frames are not written down
    std::string spread_after;
    unsigned timeout_s = 60;
    std::string node_program;
};

// Reads and checks everything, then runs the guest. Failures are on the log, one line each.
RunStatus run(const RunOptions& options, const Experts& experts);

// A program that lies beside the one that runs.
std::string sibling_program(const std::string& name);

}  // namespace vsmp::control
