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

    // Passes whole lines on at once. True when something is left that flush() must pass on soon.
    bool append(std::string_view bytes);
    void flush();
    bool empty() const;

    // How long a prompt without a newline may wait.
    static constexpr Duration kDelay = std::chrono::milliseconds(5);

  private:
    static constexpr std::size_t kLongest = 1024;

    std::function<void(std::string)> out_;
    mutable std::mutex mutex_;
    std::string text_;
};

}  // namespace vsmp
