#include "test/bench/locality/load_file.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace vsmp::bench {
namespace {

constexpr std::size_t kMaxArguments = 8;  // test/micro/loads/load.hpp has the rest
constexpr std::size_t kMaxVcpus = 8;

std::string trimmed(const std::string& text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

template <class T>
Result<std::vector<T>> numbers(const std::string& key, const std::string& value) {
    std::istringstream in{value};
    std::vector<T> list;
    for (T number; in >> number;) list.push_back(number);
    if (!in.eof() || list.empty()) return Error{key + " = '" + value + "': not a list of numbers"};
    return list;
}

template <class T>
Result<T> number(const std::string& key, const std::string& value) {
    VSMP_TRY_ASSIGN(const std::vector<T> list, numbers<T>(key, value));
    if (list.size() != 1) return Error{key + " = '" + value + "': one number is wanted"};
    return list.front();
}

Result<void> set(LoadFile& load, const std::string& key, const std::string& value) {
    if (key == "row") {
        load.row = value;
    } else if (key == "guest") {
        load.guest = value;
    } else if (key == "memory") {
        VSMP_TRY_ASSIGN(load.memory_mib, number<unsigned>(key, value));
    } else if (key == "begin") {
        VSMP_TRY_ASSIGN(load.begin, numbers<unsigned>(key, value));
    } else if (key == "data") {
        VSMP_TRY_ASSIGN(load.data, numbers<unsigned>(key, value));
    } else if (key == "arguments") {
        VSMP_TRY_ASSIGN(load.arguments, numbers<std::uint64_t>(key, value));
    } else if (key == "ms") {
        VSMP_TRY_ASSIGN(load.ms, number<std::uint64_t>(key, value));
    } else if (key == "quota") {
        VSMP_TRY_ASSIGN(load.quota, numbers<double>(key, value));
    } else {
        return Error{"unknown key '" + key + "'"};
    }
    return {};
}

}  // namespace

unsigned LoadFile::nodes() const {
    const unsigned last =
        std::max(*std::ranges::max_element(begin), *std::ranges::max_element(data));
    return std::max(2u, last + 1);
}

Result<LoadFile> parse_load(const std::string& text) {
    LoadFile load;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) {
        line = trimmed(line.substr(0, line.find('#')));
        if (line.empty()) continue;
        const auto equals = line.find('=');
        if (equals == line.npos) return Error{"'" + line + "': no '='"};
        VSMP_TRY(set(load, trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1))));
    }
    if (load.data.empty()) load.data = load.begin;
    if (load.row.empty() || load.guest.empty() || load.begin.empty() || load.quota.empty())
        return Error{"row, guest, begin and quota are needed"};
    if (load.begin.size() > kMaxVcpus || load.data.size() != load.begin.size())
        return Error{"begin and data: one node for each of at most 8 vCPUs"};
    if (load.arguments.size() > kMaxArguments) return Error{"at most 8 arguments"};
    return load;
}

Result<std::vector<LoadFile>> read_loads(const std::string& folder) {
    std::vector<std::filesystem::path> paths;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(folder, code))
        if (entry.path().extension() == ".load") paths.push_back(entry.path());
    if (code) return Error{folder + ": " + code.message()};
    std::ranges::sort(paths);
    std::vector<LoadFile> loads;
    for (const auto& path : paths) {
        std::ifstream file{path};
        auto load = parse_load({std::istreambuf_iterator<char>{file}, {}});
        if (!load) return load.error().in(path.filename());
        loads.push_back(*std::move(load));
    }
    return loads;
}

}  // namespace vsmp::bench
