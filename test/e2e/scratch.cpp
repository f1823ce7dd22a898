#include "test/e2e/scratch.hpp"

#include <gtest/gtest.h>
#include <net/if.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "kvm_glue/probe.hpp"
#include "test/find_node.hpp"

namespace vsmp::e2e {

namespace fs = std::filesystem;

std::string program_path(const std::string& name) {
    const char* elsewhere = std::getenv("VSMP_BIN_DIR");
    return fs::path{elsewhere != nullptr ? elsewhere : VSMP_BIN} / name;
}

bool emulated() {
    return std::getenv("VSMP_EMULATED") != nullptr;
}

std::chrono::seconds patience(std::chrono::seconds natively) {
    return natively * (emulated() ? 5 : 1);
}

std::string why_not_here() {
    for (const char* name : {"vsmp-run", "vsmp-node", "vsmpctl"})
        if (!fs::exists(program_path(name))) return program_path(name) + " is not there";
    const kvm::Facts facts = kvm::probe();
    if (kvm::usability(facts) == kvm::Usability::nothing) return kvm::describe(facts);
    if (::geteuid() != 0) return "needs root, for a veth pair between the nodes";
    return {};
}

Scratch::Scratch() {
    std::string pattern = testing::TempDir() + "vsmp-e2e-XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    ::setenv("XDG_RUNTIME_DIR", pattern.c_str(), 1);
}

Scratch::~Scratch() {
    expect_nothing_left();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

std::string Scratch::write(const std::string& file, std::string_view bytes) const {
    std::ofstream{folder_ / file, std::ios::binary} << bytes;
    return folder_ / file;
}

std::optional<int> Scratch::node_process(unsigned node) const {
    return test::find_node(name() + "/" + std::to_string(node));
}

bool Scratch::any_node() const {
    return test::find_node(name() + "/").has_value();
}

void Scratch::expect_nothing_left() const {
    // Nodes of a vsmp-run that was killed die by signal, a moment later.
    for (int i = 0; i < 500 && any_node(); ++i) ::usleep(10'000);
    EXPECT_FALSE(any_node()) << "a node process is left behind";
    std::error_code ignored;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / "vsmp", ignored))
        ADD_FAILURE() << "left behind: " << entry.path();
    EXPECT_EQ(::if_nametoindex("vsmp0"), 0u) << "an interface is left behind";
}

}  // namespace vsmp::e2e
