#include "vmm/config/printable.hpp"

#include <cstdint>

namespace vsmp {
namespace {

// Bytes at the front that must not be shown as they are, or 0.
std::size_t unprintable(std::string_view text) {
    const auto at = [text](std::size_t i) {
        return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
    };
    if ((at(0) < 0x20 && at(0) != '\t') || at(0) == 0x7f) return 1;
    if (at(0) == 0xc2 && at(1) >= 0x80 && at(1) <= 0x9f) return 2;  // U+0080 to U+009F
    if (at(0) != 0xe2) return 0;
    const bool mark = at(1) == 0x80 && (at(2) == 0x8e || at(2) == 0x8f);    // U+200E, U+200F
    const bool override = at(1) == 0x80 && at(2) >= 0xa8 && at(2) <= 0xae;  // U+2028 to U+202E
    const bool isolate = at(1) == 0x81 && at(2) >= 0xa6 && at(2) <= 0xa9;   // U+2066 to U+2069
    return mark || override || isolate ? 3 : 0;
}

}  // namespace

std::string printable(std::string_view text) {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string shown;
    while (!text.empty()) {
        const std::size_t hidden = unprintable(text);
        if (hidden == 0) shown += text.front();
        for (std::size_t i = 0; i < hidden; ++i) {
            const auto byte = static_cast<std::uint8_t>(text[i]);
            shown += "\\x";
            shown += digits[byte >> 4];
            shown += digits[byte & 15];
        }
        text.remove_prefix(hidden == 0 ? 1 : hidden);
    }
    return shown;
}

}  // namespace vsmp
