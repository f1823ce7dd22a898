// What every bench program does around its measurement.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "proto/result.hpp"

namespace vsmp::bench {

enum class Output : std::uint8_t { text, json };

// Runs `measure(folder)` in a new folder of its own, which it removes, and prints the report that
// it returns by to_table() or to_json(). The exit status.
template <class Measure>
int run_bench(const char* name, Output output, Measure measure) {
    char folder[] = "/tmp/vsmp-bench-XXXXXX";
    if (::mkdtemp(folder) == nullptr) {
        std::fprintf(stderr, "%s: %s\n", name, Error::from_errno("mkdtemp").message.c_str());
        return 1;
    }
    const auto report = measure(std::string{folder});
    std::filesystem::remove_all(folder);
    if (!report) {
        std::fprintf(stderr, "%s: %s\n", name, report.error().message.c_str());
        return 1;
    }
    const std::string text = output == Output::json ? to_json(*report) : to_table(*report);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

}  // namespace vsmp::bench
