#include "vmm/control/runtime_directory.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace vsmp::control {
namespace {
constexpr std::string_view kSuffix = ".sock";
}

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

std::vector<std::string> guests_with_socket() {
    std::vector<std::string> names;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(runtime_directory_path(), code)) {
        const std::string name = entry.path().filename();
        if (entry.is_socket(code) && name.size() > kSuffix.size() && name.ends_with(kSuffix))
            names.push_back(name.substr(0, name.size() - kSuffix.size()));
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace vsmp::control
