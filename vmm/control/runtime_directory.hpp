// Where running guests have their control sockets: $XDG_RUNTIME_DIR/vsmp or /run/vsmp.
#pragma once

#include <string>
#include <vector>

#include "proto/result.hpp"

namespace vsmp::control {

std::string runtime_directory_path();
// The same, made if need be (mode 0700).
Result<std::string> runtime_directory();
std::string control_socket_path(const std::string& guest);
// Names of guests that have a socket there, sorted; a guest that was killed may be among them.
std::vector<std::string> guests_with_socket();

}  // namespace vsmp::control
