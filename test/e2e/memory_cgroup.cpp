#include "test/e2e/memory_cgroup.hpp"

#include <fstream>
#include <utility>

namespace vsmp::e2e {
namespace {

namespace fs = std::filesystem;

bool put(const fs::path& file, const std::string& value) {
    std::ofstream out{file};
    out << value << std::flush;
    return out.good();
}

// The number behind `key` in a file of "key number" lines; behind nothing if `key` is empty.
std::uint64_t number_in(const fs::path& file, const std::string& key) {
    std::ifstream in{file};
    std::uint64_t number = 0;
    if (key.empty()) return in >> number ? number : 0;
    for (std::string word; in >> word >> number;)
        if (word == key) return number;
    return 0;
}

}  // namespace

Result<MemoryCgroup> MemoryCgroup::create(const std::string& name, std::uint64_t limit_bytes) {
    const fs::path root{"/sys/fs/cgroup"};
    const bool two = fs::exists(root / "cgroup.controllers");
    const fs::path folder = (two ? root : root / "memory") / name;
    std::error_code failed;
    if (!fs::create_directory(folder, failed))
        return Error{"no memory cgroup " + folder.string() + ": " +
                     (failed ? failed.message() : std::string{"exists already"})};
    MemoryCgroup group{folder, two ? Version::two : Version::one};
    if (!put(folder / (two ? "memory.max" : "memory.limit_in_bytes"), std::to_string(limit_bytes)))
        return Error{"cannot set the limit of " + folder.string() +
                     " (is the memory controller enabled there?)"};
    return group;
}

MemoryCgroup::MemoryCgroup(MemoryCgroup&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), version_(other.version_) {}

MemoryCgroup::~MemoryCgroup() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove(folder_, ignored);
}

Result<void> MemoryCgroup::add(pid_t process) {
    if (put(folder_ / "cgroup.procs", std::to_string(process))) return {};
    return Error{"cannot move process " + std::to_string(process) + " to " + folder_.string()};
}

std::uint64_t MemoryCgroup::peak_bytes() const {
    return number_in(
        folder_ / (version_ == Version::two ? "memory.peak" : "memory.max_usage_in_bytes"), "");
}

std::uint64_t MemoryCgroup::kills() const {
    return number_in(folder_ / (version_ == Version::two ? "memory.events" : "memory.oom_control"),
                     "oom_kill");
}

}  // namespace vsmp::e2e
