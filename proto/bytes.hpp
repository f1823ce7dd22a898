// Bounds-checked little-endian encoding. Everything that comes from a wire or a file is read
// through ByteReader; nothing is ever cast.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "proto/check.hpp"

namespace vsmp {

using ByteView = std::span<const std::byte>;

// Integers are copied as they are in memory; what virtualizes an x86 guest runs on x86.
static_assert(std::endian::native == std::endian::little);

// Reads past the end make ok() false and yield zeros; callers check ok() once, at the end.
class ByteReader {
  public:
    explicit ByteReader(ByteView bytes) : rest_(bytes) {}

    template <class T>
    requires std::is_unsigned_v<T> T read() {
        const ByteView raw = take(sizeof(T));
        T value = 0;
        if (!raw.empty()) std::memcpy(&value, raw.data(), sizeof value);
        return value;
    }

    // An empty view, and ok() false, when fewer than `size` bytes are left.
    ByteView take(std::size_t size) {
        if (size > rest_.size()) {
            ok_ = false;
            rest_ = {};
            return {};
        }
        ByteView taken = rest_.first(size);
        rest_ = rest_.subspan(size);
        return taken;
    }

    bool ok() const { return ok_; }
    bool at_end() const { return rest_.empty(); }
    std::size_t remaining() const { return rest_.size(); }

  private:
    ByteView rest_;
    bool ok_ = true;
};

// Writes into a buffer of the caller's; a buffer too small is a bug of ours and aborts.
class ByteWriter {
  public:
    explicit ByteWriter(std::span<std::byte> buffer) : buffer_(buffer) {}

    template <class T>
    requires std::is_unsigned_v<T>
    void write(T value) { std::memcpy(reserve(sizeof value).data(), &value, sizeof value); }

    void write(ByteView bytes) {
        std::span<std::byte> raw = reserve(bytes.size());
        if (!bytes.empty()) std::memcpy(raw.data(), bytes.data(), bytes.size());
    }

    std::size_t size() const { return used_; }
    ByteView written() const { return buffer_.first(used_); }

  private:
    std::span<std::byte> reserve(std::size_t size) {
        VSMP_CHECK(size <= buffer_.size() - used_, "encode buffer too small");
        used_ += size;
        return buffer_.first(used_).last(size);
    }

    std::span<std::byte> buffer_;
    std::size_t used_ = 0;
};

}  // namespace vsmp
