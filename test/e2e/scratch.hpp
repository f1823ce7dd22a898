// What every end-to-end test has: a folder of its own, which is also where vsmp-run has its
// sockets, and the check that a run leaves nothing behind.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace vsmp::e2e {

// Path of a program of ours; VSMP_BIN_DIR in the environment overrides where they were built.
std::string program_path(const std::string& name);

// Why guests cannot run here, one line; empty: they can.
std::string why_not_here();

// Whether VSMP_EMULATED is in the environment: this host is emulated. All takes longer there,
// waking a vCPU's thread in particular, so tests are more patient and pages are held longer.
bool emulated();
// How long to wait here for what takes up to `natively` elsewhere.
std::chrono::seconds patience(std::chrono::seconds natively);

// One at a time in a process: it owns XDG_RUNTIME_DIR.
class Scratch {
  public:
    Scratch();
    ~Scratch();  // checks that nothing is left, and removes the folder
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    const std::filesystem::path& folder() const { return folder_; }
    // Different for every Scratch: a guest's name.
    std::string name() const { return folder_.filename(); }
    std::string write(const std::string& file, std::string_view bytes) const;

    // Process of a node of the guest `name()`, if there is one.
    std::optional<int> node_process(unsigned node) const;
    bool any_node() const;

  private:
    void expect_nothing_left() const;

    std::filesystem::path folder_;
};

}  // namespace vsmp::e2e
