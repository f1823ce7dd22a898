// The node processes of a guest, found by their command line: "--label GUEST/N".
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace vsmp::test {

// The process of a node whose label begins with `label` ("GUEST/" for any of the guest's).
inline std::optional<int> find_node(const std::string& label) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        // Through a stream: an iterator would throw where a process ends while it is read.
        std::ostringstream words;
        words << std::ifstream{entry.path() / "cmdline", std::ios::binary}.rdbuf();
        const std::string line = words.str();
        if (line.find("--label") == line.npos || line.find(label) == line.npos) continue;
        return std::atoi(entry.path().filename().c_str());
    }
    return std::nullopt;
}

}  // namespace vsmp::test
