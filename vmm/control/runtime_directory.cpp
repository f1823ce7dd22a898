#include "vmm/control/runtime_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace vsmp::control {
namespace {

constexpr std::string_view kSuffix = ".sock";

std::string lock_path(const std::string& guest) {
    return runtime_directory_path() + "/" + guest + ".lock";
}

// Not so when its last owner removed it while we were opening it.
bool is_file_at(int fd, const std::string& path) {
    struct stat opened {
    }, there{};
    return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &there) == 0 &&
           opened.st_ino == there.st_ino && opened.st_dev == there.st_dev;
}

bool is_locked(const std::string& path) {
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    return file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

std::string runtime_directory_path() {
    const char* user = std::getenv("XDG_RUNTIME_DIR");
    return std::string{user != nullptr && *user != '\0' ? user : "/run"} + "/vsmp";
}

Result<std::string> runtime_directory() {
    std::string path = runtime_directory_path();
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        return Error::from_errno("making " + path +
                                 " (set XDG_RUNTIME_DIR to a directory of yours)");
    return path;
}

std::string control_socket_path(const std::string& guest) {
    return runtime_directory_path() + "/" + guest + std::string{kSuffix};
}

Result<GuestClaim> GuestClaim::take(const std::string& guest) {
    VSMP_TRY(runtime_directory());
    std::string path = lock_path(guest);
    for (;;) {
        UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
        if (!file) return Error::from_errno("opening " + path);
        if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK)
                return Error{"guest '" + guest + "' is already running (" + path + " is locked)"};
            return Error::from_errno("locking " + path);
        }
        if (is_file_at(file.get(), path)) return GuestClaim{std::move(path), std::move(file)};
    }
}

GuestClaim::~GuestClaim() {
    if (lock_) ::unlink(path_.c_str());
}

std::vector<std::string> running_guests() {
    std::vector<std::string> names;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(runtime_directory_path(), code)) {
        const std::string name = entry.path().filename();
        if (!entry.is_socket(code) || name.size() <= kSuffix.size() || !name.ends_with(kSuffix))
            continue;
        std::string guest = name.substr(0, name.size() - kSuffix.size());
        if (is_locked(lock_path(guest))) names.push_back(std::move(guest));
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace vsmp::control
