// Messages for a person, on stderr: "PROGRAM: error: what". Once, from main.
#pragma once

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

namespace vsmp::control {

inline void start_log(const std::string& program) {
    auto logger = std::make_shared<spdlog::logger>(
        program, std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    logger->set_pattern("%n: %^%l%$: %v");
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace vsmp::control
