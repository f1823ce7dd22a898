// vsmpctl's end of the control socket.
#pragma once

#include <string>

#include "proto/control.pb.h"
#include "proto/result.hpp"

namespace vsmp::control {

// The guest to talk to: `wanted`, or the only running one when that is empty.
Result<std::string> choose_guest(const std::string& wanted);

// Sends one request and waits for its answer (10 s at most). A refusal is an error.
Result<wire::ControlReply> ask_guest(const std::string& guest, const wire::ControlRequest& request);

}  // namespace vsmp::control
