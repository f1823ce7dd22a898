// Lets ACPICA's compiler judge our tables: each must disassemble, and compile again to the same.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "test/skip.hpp"
#include "test/vmm/acpi/machines.hpp"
#include "vmm/acpi/fixed_tables.hpp"
#include "vmm/acpi/topology_tables.hpp"

namespace vsmp::acpi {
namespace {

namespace fs = std::filesystem;

class Iasl : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        if (std::string_view{VSMP_IASL}.find("NOTFOUND") != std::string_view::npos)
            VSMP_SKIP() << "iasl (acpica-tools) is not installed";
        std::string pattern = testing::TempDir() + "vsmp-iasl-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override {
        if (!folder_.empty()) fs::remove_all(folder_);
    }
    void write(const std::string& name, ByteView bytes) const {
        std::ofstream{folder_ / name, std::ios::binary}.write(
            reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
    }
    std::string read(const std::string& name) const {
        std::ostringstream out;
        out << std::ifstream{folder_ / name, std::ios::binary}.rdbuf();
        return out.str();
    }
    std::string run(const std::string& arguments) const {
        const std::string command =
            "cd '" + folder_.string() + "' && " + VSMP_IASL + " " + arguments + " >log 2>&1";
        const int status = std::system(command.c_str());
        const std::string log = read("log");
        EXPECT_EQ(status, 0) << log;
        return log;
    }
    fs::path folder_;
};

std::vector<std::byte> table_named(const std::string& name) {
    const Machine machine = two_cells(256);
    if (name == "facp") return make_fadt(Gpa{0xe0040}, Gpa{0xe0080});
    if (name == "facs") return make_facs();
    if (name == "apic") return make_madt(machine);
    if (name == "srat") return make_srat(machine);
    if (name == "slit") return make_slit(machine);
    return make_dsdt();
}

TEST_P(Iasl, DisassemblesAndCompilesToTheSameTable) {
    const std::vector<std::byte> table = table_named(GetParam());
    write("table.dat", table);
    const std::string disassembled = run("-d table.dat");
    EXPECT_EQ(disassembled.find("Incorrect checksum"), std::string::npos) << disassembled;
    EXPECT_EQ(disassembled.find("ACPI Warning"), std::string::npos) << disassembled;
    // The compiler takes the hexadecimal dump at the end of a data table for more fields of it.
    const std::string source = read("table.dsl");
    const std::string fields = source.substr(0, source.find("Raw Table Data"));
    write("table.dsl", std::as_bytes(std::span{fields}));
    const std::string compiled = run("-p again -tp table.dsl");
    EXPECT_NE(compiled.find("0 Errors"), std::string::npos) << compiled;
    EXPECT_NE(compiled.find("0 Warnings"), std::string::npos) << compiled;
    const std::string again = read("again.aml");
    ASSERT_EQ(again.size(), table.size());
    // The compiler puts itself into the header as creator; the body must not change.
    for (std::size_t i = 36; i < table.size(); ++i)
        ASSERT_EQ(std::byte(again[i]), table[i]) << "byte " << i;
}

INSTANTIATE_TEST_SUITE_P(Tables, Iasl,
                         testing::Values("dsdt", "facp", "facs", "apic", "srat", "slit"),
                         [](const auto& table) { return table.param; });

}  // namespace
}  // namespace vsmp::acpi
