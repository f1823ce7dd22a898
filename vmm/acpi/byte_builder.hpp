// Growing little-endian bytes: what ByteWriter is for buffers of a known size.
#pragma once

#include <string_view>
#include <type_traits>
#include <vector>

#include "proto/bytes.hpp"

namespace vsmp::acpi {

class ByteBuilder {
  public:
    template <class T>
    requires std::is_unsigned_v<T> ByteBuilder& put(T value) {
        for (std::size_t i = 0; i < sizeof(T); ++i)
            bytes_.push_back(std::byte(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff));
        return *this;
    }
    ByteBuilder& u8(std::uint8_t value) { return put(value); }
    ByteBuilder& u16(std::uint16_t value) { return put(value); }
    ByteBuilder& u32(std::uint32_t value) { return put(value); }
    ByteBuilder& u64(std::uint64_t value) { return put(value); }
    ByteBuilder& text(std::string_view chars) {
        for (char c : chars) bytes_.push_back(std::byte(c));
        return *this;
    }
    ByteBuilder& bytes(ByteView raw) {
        bytes_.insert(bytes_.end(), raw.begin(), raw.end());
        return *this;
    }
    ByteBuilder& zeros(std::size_t count) {
        bytes_.resize(bytes_.size() + count);
        return *this;
    }
    ByteBuilder& align(std::size_t boundary) {
        while (bytes_.size() % boundary != 0) bytes_.push_back(std::byte{0});
        return *this;
    }

    std::size_t size() const { return bytes_.size(); }
    ByteView view() const { return bytes_; }
    std::vector<std::byte> take() && { return std::move(bytes_); }

  private:
    std::vector<std::byte> bytes_;
};

}  // namespace vsmp::acpi
