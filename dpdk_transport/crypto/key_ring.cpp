#include "dpdk_transport/crypto/key_ring.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "proto/fd.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kMaxFile = 64 << 10;

std::optional<ClusterKey> parse_key(std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == line.npos) return std::nullopt;
    const std::string_view number = line.substr(0, space);
    std::string_view digits = line.substr(space + 1);
    ClusterKey key;
    const auto [end, wrong] = std::from_chars(number.data(), number.data() + number.size(), key.id);
    if (wrong != std::errc{} || end != number.data() + number.size() || key.id == 0)
        return std::nullopt;
    if (digits.size() != 2 * key.bytes.size()) return std::nullopt;
    for (std::byte& byte : key.bytes) {
        std::uint8_t value = 0;
        const auto [stop, bad] = std::from_chars(digits.data(), digits.data() + 2, value, 16);
        if (bad != std::errc{} || stop != digits.data() + 2) return std::nullopt;
        byte = std::byte{value};
        digits.remove_prefix(2);
    }
    return key;
}

}  // namespace

const ClusterKey* KeyRing::find(std::uint16_t id) const {
    const auto found = std::ranges::find(keys, id, &ClusterKey::id);
    return found == keys.end() ? nullptr : &*found;
}

Result<KeyRing> parse_keys(std::string_view text) {
    KeyRing ring;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() || line.front() == '#') continue;
        const auto key = parse_key(line);
        const std::string where = "line " + std::to_string(number);
        if (!key) return Error{where + ": not a number from 1 to 65535 and 64 hexadecimal digits"};
        if (ring.find(key->id) != nullptr) return Error{where + ": a second key of that number"};
        ring.keys.push_back(*key);
    }
    if (ring.keys.empty()) return Error{"no key in it"};
    return ring;
}

Result<KeyFile> KeyFile::open(const std::string& path) {
    const std::string what = "key file " + path;
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) return Error::from_errno(what);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return Error::from_errno(what);
    if (!S_ISREG(status.st_mode)) return Error{what + ": not a file"};
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return Error{what + ": others than its owner may use it; chmod 600"};
    std::string text(kMaxFile, '\0');
    const ssize_t size = ::read(file.get(), text.data(), text.size());
    if (size < 0) return Error::from_errno(what);
    auto keys = parse_keys(std::string_view{text}.substr(0, static_cast<std::size_t>(size)));
    if (!keys) return keys.error().in(what);
    return KeyFile{
        path, {status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec}, *std::move(keys)};
}

std::optional<KeyRing> KeyFile::newer() {
    struct stat status {};
    if (::stat(path_.c_str(), &status) != 0) return std::nullopt;
    if (stamp_ == Stamp{status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec})
        return std::nullopt;
    auto opened = open(path_);
    if (!opened) return std::nullopt;
    *this = *std::move(opened);
    return keys_;
}

}  // namespace vsmp::fabric
