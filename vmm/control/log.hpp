// Messages for a person, on stderr: "PROGRAM: error: what". Once, from main.
#pragma once

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>

#include "vmm/config/printable.hpp"

namespace vsmp::control {

// The message itself: one line, whatever names and peers' words are in it.
class PrintableMessage final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&,
                spdlog::memory_buf_t& to) override {
        const std::string text = printable({message.payload.data(), message.payload.size()});
        to.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
        return std::make_unique<PrintableMessage>();
    }
};

inline void start_log(const std::string& program) {
    auto logger = std::make_shared<spdlog::logger>(
        program, std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<PrintableMessage>('*').set_pattern("%n: %^%l%$: %*");
    logger->set_formatter(std::move(formatter));
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace vsmp::control
