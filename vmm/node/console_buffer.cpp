#include "vmm/node/console_buffer.hpp"

#include <utility>

namespace vsmp {

bool ConsoleBuffer::append(std::string_view bytes) {
    std::lock_guard lock{mutex_};
    const bool was_empty = text_.empty();
    text_ += bytes;
    if (text_.empty()) return false;
    if (text_.back() != '\n' && text_.size() < kLongest) return was_empty;
    out_(std::exchange(text_, {}));
    due_.reset();
    return false;
}

void ConsoleBuffer::flush() {
    std::lock_guard lock{mutex_};
    if (!text_.empty()) out_(std::exchange(text_, {}));
    due_.reset();
}

std::optional<Instant> ConsoleBuffer::flush_if_due(Instant now) {
    std::lock_guard lock{mutex_};
    if (text_.empty()) return std::nullopt;
    if (!due_) due_ = now + kDelay;
    if (now < *due_) return due_;
    out_(std::exchange(text_, {}));
    due_.reset();
    return std::nullopt;
}

}  // namespace vsmp
