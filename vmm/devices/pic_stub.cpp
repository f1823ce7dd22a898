#include "vmm/devices/pic_stub.hpp"

namespace vsmp {
namespace {

constexpr std::uint64_t kData = 1;
constexpr std::uint8_t kIcw1 = 0x10;
constexpr std::uint8_t kIcw1NeedsIcw4 = 0x01;
constexpr std::uint8_t kIcw1Single = 0x02;  // no ICW3 follows

}  // namespace

std::uint8_t PicStub::read_byte(std::uint64_t offset) {
    return offset == kData ? mask_ : 0;  // no request, nothing in service
}

void PicStub::write_byte(std::uint64_t offset, std::uint8_t value) {
    if (offset != kData) {
        if ((value & kIcw1) == 0) return;  // OCW2, OCW3
        mask_ = 0;
        init_words_left_ = static_cast<std::uint8_t>(1 + ((value & kIcw1Single) == 0 ? 1 : 0) +
                                                     ((value & kIcw1NeedsIcw4) != 0 ? 1 : 0));
    } else if (init_words_left_ > 0) {
        --init_words_left_;
    } else {
        mask_ = value;
    }
}

}  // namespace vsmp
