// Where running guests have their control sockets: $XDG_RUNTIME_DIR/vsmp or /run/vsmp. Beside each
// socket lies a file NAME.lock, locked (flock) as long as the guest runs: a vsmp-run that was
// killed leaves both behind, but not the lock.
#pragma once

#include <string>
#include <vector>

#include "proto/fd.hpp"
#include "proto/result.hpp"

namespace vsmp::control {

std::string runtime_directory_path();
// The same, made if need be (mode 0700).
Result<std::string> runtime_directory();
std::string control_socket_path(const std::string& guest);

// The right to run the guest of that name on this machine, until destruction. Never waits.
class GuestClaim {
  public:
    static Result<GuestClaim> take(const std::string& guest);
    GuestClaim(GuestClaim&&) = default;
    ~GuestClaim();  // removes its file

  private:
    GuestClaim(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    std::string path_;
    UniqueFd lock_;
};

// Sorted.
std::vector<std::string> running_guests();

}  // namespace vsmp::control
