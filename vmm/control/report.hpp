// What vsmpctl prints: tables for people, JSON for machines. Pure.
#pragma once

#include <string>

#include "proto/control.pb.h"

namespace vsmp::control {

std::string status_table(const wire::ControlReply::Status& status);
std::string stats_table(const wire::ControlReply::Stats& stats);
std::string explanation_text(const wire::ControlReply::Explanation& explanation);
std::string status_json(const wire::ControlReply::Status& status);
std::string stats_json(const wire::ControlReply::Stats& stats);
std::string explanation_json(const wire::ControlReply::Explanation& explanation);

}  // namespace vsmp::control
