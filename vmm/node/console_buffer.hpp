// Gathers what the guest's UART sends byte by byte into pieces worth a message.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "proto/time.hpp"

namespace vsmp {

class ConsoleBuffer {
  public:
    explicit ConsoleBuffer(std::function<void(std::string)> out) : out_(std::move(out)) {}

    // Passes whole lines on at once. True when something was left by a call that found nothing: ask
    // flush_if_due() when to pass it on.
    bool append(std::string_view bytes);
    void flush();
    // Passes on what has waited long enough; else says until when it waits.
    std::optional<Instant> flush_if_due(Instant now);

  private:
    static constexpr std::size_t kLongest = 1024;
    // How long a prompt without a newline may wait.
    static constexpr Duration kDelay = std::chrono::milliseconds(5);

    std::function<void(std::string)> out_;
    std::mutex mutex_;
    std::string text_;
    std::optional<Instant> due_;  // of text_, once flush_if_due() has seen it
};

}  // namespace vsmp
