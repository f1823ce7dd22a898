// What a process has used of this machine, by thread and summed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace vsmp::bench {

struct ProcessUse {
    std::uint64_t cpu_ns = 0;
    std::uint64_t wake_ups = 0;  // voluntary context switches
    int threads = 0;

    friend ProcessUse operator-(ProcessUse a, const ProcessUse& b) {
        a.cpu_ns -= b.cpu_ns;
        a.wake_ups -= b.wake_ups;
        return a;
    }
};

// Of threads that are there now (proc(5), schedstat and status).
inline ProcessUse use_of(int process) {
    ProcessUse use;
    std::error_code gone;
    const std::string tasks = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : std::filesystem::directory_iterator{tasks, gone}) {
        std::uint64_t cpu_ns = 0;
        std::ifstream{task.path() / "schedstat"} >> cpu_ns;
        use.cpu_ns += cpu_ns;
        ++use.threads;
        std::ifstream status{task.path() / "status"};
        for (std::string word; status >> word;) {
            if (word != "voluntary_ctxt_switches:") continue;
            std::uint64_t count = 0;
            status >> count;
            use.wake_ups += count;
        }
    }
    return use;
}

}  // namespace vsmp::bench
