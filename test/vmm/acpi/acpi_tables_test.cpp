#include "vmm/acpi/acpi_tables.hpp"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "test/vmm/acpi/machines.hpp"

namespace vsmp::acpi {
namespace {

// Reads the tables the way a guest does: from the RSDP on, by address.
class Guest {
  public:
    explicit Guest(Tables tables) : tables_(std::move(tables)) {}

    ByteView at(std::uint64_t gpa) const {
        return ByteView{tables_.bytes}.subspan(gpa - tables_.rsdp.value());
    }
    template <class T>
    T get(ByteView bytes, std::size_t offset) const {
        return ByteReader{bytes.subspan(offset)}.read<T>();
    }
    ByteView table(std::uint64_t gpa) const {
        const ByteView rest = at(gpa);
        return rest.first(get<std::uint32_t>(rest, 4));
    }
    std::map<std::string, ByteView> tables() const {
        std::map<std::string, ByteView> found;
        const ByteView xsdt = table(get<std::uint64_t>(at(tables_.rsdp.value()), 24));
        for (std::size_t i = 36; i < xsdt.size(); i += 8) {
            const ByteView t = table(get<std::uint64_t>(xsdt, i));
            found[signature(t)] = t;
        }
        found["XSDT"] = xsdt;
        found["DSDT"] = table(get<std::uint64_t>(found.at("FACP"), 140));
        return found;
    }
    static std::string signature(ByteView t) {
        return {reinterpret_cast<const char*>(t.data()), 4};
    }

  private:
    Tables tables_;
};

unsigned sum(ByteView bytes) {
    return std::accumulate(
               bytes.begin(), bytes.end(), 0u,
               [](unsigned total, std::byte b) { return total + std::to_integer<unsigned>(b); }) %
           256;
}

Guest guest_of(const Machine& machine) {
    auto tables = build_tables(machine);
    EXPECT_TRUE(tables);
    return Guest{*std::move(tables)};
}

TEST(AcpiTables, AllChecksumsAreRight) {
    const Guest guest = guest_of(two_cells(4));
    const ByteView rsdp = guest.at(kTablesBase.value());
    EXPECT_EQ(sum(rsdp.first(20)), 0u);
    EXPECT_EQ(sum(rsdp.first(36)), 0u);
    const auto tables = guest.tables();
    for (const char* name : {"XSDT", "FACP", "APIC", "SRAT", "SLIT", "DSDT"}) {
        ASSERT_TRUE(tables.contains(name)) << name;
        EXPECT_EQ(sum(tables.at(name)), 0u) << name;
    }
}

TEST(AcpiTables, FacsIsAlignedAndItsSizeIsRight) {
    const Guest guest = guest_of(two_cells(1));
    const auto facs = guest.get<std::uint32_t>(guest.tables().at("FACP"), 36);
    EXPECT_EQ(facs % 64, 0u);
    EXPECT_EQ(Guest::signature(guest.table(facs)), "FACS");
    EXPECT_EQ(guest.table(facs).size(), 64u);
}

TEST(AcpiTables, FadtSaysAcpiModeAlwaysOnAndResetByPort) {
    const Guest guest = guest_of(two_cells(1));
    const ByteView fadt = guest.tables().at("FACP");
    EXPECT_EQ(fadt.size(), 276u);
    EXPECT_EQ(guest.get<std::uint16_t>(fadt, 46), 9) << "SCI";
    EXPECT_EQ(guest.get<std::uint32_t>(fadt, 48), 0u) << "SMI command port";
    EXPECT_EQ(guest.get<std::uint16_t>(fadt, 109), 0x0005) << "legacy devices, no VGA";
    EXPECT_EQ(guest.get<std::uint32_t>(fadt, 112) & (1u << 20), 0u) << "not hardware-reduced";
    EXPECT_NE(guest.get<std::uint32_t>(fadt, 112) & (1u << 10), 0u) << "reset register";
    EXPECT_EQ(guest.get<std::uint64_t>(fadt, 120), 0xcf9u);
    EXPECT_EQ(guest.get<std::uint8_t>(fadt, 128), 6);
}

struct Entry {
    std::uint8_t type;
    ByteView bytes;
};

std::vector<Entry> entries(ByteView table, std::size_t first) {
    std::vector<Entry> found;
    for (std::size_t i = first; i < table.size();) {
        const auto length = std::to_integer<std::size_t>(table[i + 1]);
        if (length == 0 || length > table.size() - i) ADD_FAILURE() << "length at " << i;
        if (length == 0 || length > table.size() - i) break;
        found.push_back({std::to_integer<std::uint8_t>(table[i]), table.subspan(i, length)});
        i += length;
    }
    return found;
}

TEST(AcpiTables, MadtListsCpusBySizeOfTheirIds) {
    const Guest guest = guest_of(two_cells(256));
    std::map<unsigned, unsigned> count;
    for (const Entry& entry : entries(guest.tables().at("APIC"), 44)) {
        ++count[entry.type];
        if (entry.type == 9) {
            EXPECT_EQ(guest.get<std::uint32_t>(entry.bytes, 4), 255u);
            EXPECT_EQ(entry.bytes.size(), 16u);
        }
    }
    EXPECT_EQ(count[0], 255u);
    EXPECT_EQ(count[9], 1u);
    EXPECT_EQ(count[1], 1u) << "I/O APIC";
    EXPECT_EQ(count[2], 2u) << "overrides of IRQ 0 and SCI";
}

TEST(AcpiTables, MadtRoutesTheTimerToPin2AndTheSciByLevel) {
    const Guest guest = guest_of(two_cells(2));
    std::map<unsigned, std::pair<std::uint32_t, std::uint16_t>> overrides;
    for (const Entry& entry : entries(guest.tables().at("APIC"), 44))
        if (entry.type == 2)
            overrides[std::to_integer<unsigned>(entry.bytes[3])] = {
                guest.get<std::uint32_t>(entry.bytes, 4), guest.get<std::uint16_t>(entry.bytes, 8)};
    EXPECT_EQ(overrides[0], (std::pair<std::uint32_t, std::uint16_t>{2, 0}));
    EXPECT_EQ(overrides[9], (std::pair<std::uint32_t, std::uint16_t>{9, 0x0d}));
}

TEST(AcpiTables, SratCoversEveryCpuAndEveryPieceOfMemory) {
    const Guest guest = guest_of(two_cells(4));
    std::vector<unsigned> cells_of_cpus;
    std::vector<std::array<std::uint64_t, 3>> memory;
    for (const Entry& entry : entries(guest.tables().at("SRAT"), 48)) {
        if (entry.type == 0) cells_of_cpus.push_back(guest.get<std::uint8_t>(entry.bytes, 2));
        if (entry.type == 1)
            memory.push_back({guest.get<std::uint32_t>(entry.bytes, 2),
                              guest.get<std::uint64_t>(entry.bytes, 8),
                              guest.get<std::uint64_t>(entry.bytes, 16)});
    }
    EXPECT_EQ(cells_of_cpus, (std::vector<unsigned>{0, 1, 0, 1}));
    EXPECT_EQ(memory,
              (std::vector<std::array<std::uint64_t, 3>>{
                  {0, 0, 2ull << 30}, {1, 2ull << 30, 1ull << 30}, {1, 4ull << 30, 1ull << 30}}));
}

TEST(AcpiTables, SlitIsTheMatrix) {
    const Guest guest = guest_of(two_cells(2));
    const ByteView slit = guest.tables().at("SLIT");
    EXPECT_EQ(guest.get<std::uint64_t>(slit, 36), 2u);
    EXPECT_EQ(slit.size(), 48u);
    EXPECT_EQ(slit[45], std::byte{20});
}

TEST(AcpiTables, TheLargestMachineFits) {
    Machine machine;
    const std::vector<std::uint64_t> cells(kMaxNodes, 1ull << 30);
    machine.memory = (*MemoryLayout::create(cells)).cell_ranges();
    for (std::uint32_t i = 0; i < kMaxVcpus; ++i)
        machine.cpus.push_back({i, NodeId{static_cast<std::uint8_t>(i % kMaxNodes)}});
    machine.distances.assign(kMaxNodes, std::vector<std::uint8_t>(kMaxNodes, 20));
    for (std::size_t i = 0; i < kMaxNodes; ++i) machine.distances[i][i] = 10;
    EXPECT_TRUE(build_tables(machine));
}

TEST(AcpiTables, BadMachinesAreRefused) {
    Machine machine = two_cells(0);
    EXPECT_EQ(build_tables(machine).error().message, "ACPI tables: no CPU");
    machine = two_cells(1);
    machine.distances = {{10, 20}, {20}};
    EXPECT_EQ(build_tables(machine).error().message,
              "ACPI SLIT: row 1 has 1 distances for 2 cells");
    machine.distances = {{10, 10}, {20, 10}};
    EXPECT_EQ(build_tables(machine).error().message,
              "ACPI SLIT: distance 10 from cell 0 to 1 (must be more than 10)");
    machine.distances = {{11, 20}, {20, 10}};
    EXPECT_EQ(build_tables(machine).error().message,
              "ACPI SLIT: distance 11 from cell 0 to 0 (must be 10)");
}

}  // namespace
}  // namespace vsmp::acpi
