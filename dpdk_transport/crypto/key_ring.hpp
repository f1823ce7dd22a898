// The cluster's keys, as a file has them: one a line, a number from 1 to 65535 and 64 hexadecimal
// digits, oldest first. What is sent is sealed with the last; what comes may be sealed with any. So
// a key is changed without losing a frame: add the new one to the files of all hosts above the last
// line, then move it to the end everywhere, then remove the old one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/bytes.hpp"
#include "proto/result.hpp"

namespace vsmp::fabric {

struct ClusterKey {
    std::uint16_t id = 0;
    std::array<std::byte, 32> bytes{};  // AES-256
    friend bool operator==(const ClusterKey&, const ClusterKey&) = default;
};

struct KeyRing {
    std::vector<ClusterKey> keys;  // never empty; the last one seals
    const ClusterKey* find(std::uint16_t id) const;
};

// Empty lines and those that begin with '#' do not count. Errors name the line, never what is in
// it.
Result<KeyRing> parse_keys(std::string_view text);

// Refuses a file that others than its owner may read.
class KeyFile {
  public:
    static Result<KeyFile> open(const std::string& path);
    const KeyRing& keys() const { return keys_; }
    // The keys, if the file has been replaced or changed since; what cannot be read is left for the
    // next call, and the old keys stay in use.
    std::optional<KeyRing> newer();

  private:
    struct Stamp {
        std::uint64_t inode = 0;
        std::int64_t seconds = 0, nanoseconds = 0;
        friend bool operator==(const Stamp&, const Stamp&) = default;
    };
    KeyFile(std::string path, Stamp stamp, KeyRing keys)
        : path_(std::move(path)), stamp_(stamp), keys_(std::move(keys)) {}

    std::string path_;
    Stamp stamp_;
    KeyRing keys_;
};

}  // namespace vsmp::fabric
