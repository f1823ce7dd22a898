#include "vmm/node/console_buffer.hpp"

#include <utility>

namespace vsmp {

bool ConsoleBuffer::append(std::string_view bytes) {
    std::lock_guard lock{mutex_};
    text_ += bytes;
    if (text_.empty() || (text_.back() != '\n' && text_.size() < kLongest)) return !text_.empty();
    out_(std::exchange(text_, {}));
    return false;
}

void ConsoleBuffer::flush() {
    std::lock_guard lock{mutex_};
    if (!text_.empty()) out_(std::exchange(text_, {}));
}

bool ConsoleBuffer::empty() const {
    std::lock_guard lock{mutex_};
    return text_.empty();
}

}  // namespace vsmp
