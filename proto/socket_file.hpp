// What lies at the path of a unix socket. A server that was killed leaves its file behind.
#pragma once

#include <string>

#include "proto/result.hpp"

namespace vsmp {

enum class SocketFile : std::uint8_t {
    absent,
    dead,    // a socket whose owner is gone
    served,  // somebody has it open
    other,   // no socket, or one that cannot be asked
};

// Whoever serves it does not notice.
SocketFile look_at_socket_file(const std::string& path);

// Removes a dead one. An error names what else is there.
Result<void> clear_socket_file(const std::string& path);

}  // namespace vsmp
