// vCPUs shipped back and forth between nodes while they compute.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <iostream>
#include <nlohmann/json.hpp>

#include "test/e2e/micro_guest.hpp"
#include "test/micro/guest.hpp"
#include "test/skip.hpp"

namespace vsmp::e2e {
namespace {

class Ships : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
    }
};

void print_distribution(const std::string& name, const nlohmann::json& nodes, const char* field) {
    std::vector<std::uint64_t> values;
    for (const auto& node : nodes)
        if (node.contains(field))
            for (const auto& value : node[field]) values.push_back(value.get<std::uint64_t>());
    if (values.empty()) {
        std::cout << name << ": not recorded\n";
        return;
    }
    std::sort(values.begin(), values.end());
    const auto part = [&](std::size_t percent) {
        return values[std::min(values.size() - 1, values.size() * percent / 100)];
    };
    std::cout << fmt::format("{}: min {}, median {}, p90 {}, p99 {}, max {} ({} ships)\n", name,
                             values.front(), part(50), part(90), part(99), values.back(),
                             values.size());
}

// What test/micro/avx.cpp reports for a vCPU after `additions`, computed without it.
std::uint64_t avx_checksum(std::uint64_t vcpu, std::uint64_t register_bytes,
                           std::uint64_t additions) {
    const std::uint64_t registers = register_bytes == 64 ? 32 : 16, lanes = register_bytes / 8;
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < registers * lanes; ++i) {
        const std::uint64_t step = vcpu + i % lanes + 1;
        const std::uint64_t value =
            i / lanes == registers - 1 ? step : (micro::mix(vcpu, i, 0) >> 24) + additions * step;
        sum = sum * 31 + std::bit_cast<std::uint64_t>(static_cast<double>(value));
    }
    return sum;
}

TEST_F(Ships, AThousandWithLiveAvxRegisters) {
    constexpr unsigned kShips = 1000;
    constexpr std::uint64_t kAdditions = 10'000, kBlocksBetweenLooks = 64;
    // The other vCPU has nothing to do in this program but to compute too, where it is.
    MicroGuest guest{Machine{}, "avx", {0, kAdditions, 0, 0, kBlocksBetweenLooks}, Begin::at_once};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    for (unsigned i = 1; i <= kShips; ++i)
        ASSERT_TRUE(guest.move(1, i % 2)) << "ship " << i << "\n" << guest.transcript();
    const auto nodes = nlohmann::json::parse(guest.vsmpctl({"stats", "--json"}))["nodes"];
    EXPECT_EQ(nodes[0]["ships_out"], kShips / 2);
    EXPECT_EQ(nodes[0]["ships_in"], kShips / 2);
    EXPECT_EQ(nodes[1]["ships_out"], kShips / 2);
    EXPECT_EQ(nodes[1]["ships_in"], kShips / 2);
    print_distribution("frame bytes", nodes, "ship_frame_bytes");
    print_distribution("blackout us", nodes, "ship_blackout_us");
    guest.type_line();
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
    for (unsigned vcpu : {0, 1}) {
        const std::uint64_t blocks = guest.reports(vcpu, 1).at(0);
        const std::uint64_t register_bytes = guest.reports(vcpu, 2).at(0);
        EXPECT_EQ(guest.reports(vcpu, 3).at(0),
                  avx_checksum(vcpu, register_bytes, blocks * kAdditions));
        std::cout << fmt::format("vCPU {}: {} blocks in registers of {} bytes\n", vcpu, blocks,
                                 register_bytes);
    }
}

// Interrupts that are sent to a vCPU, and by one, while it is on its way. The program itself counts
// those that are lost or come twice.
TEST_F(Ships, InterruptsAreNeitherLostNorDoubled) {
    constexpr std::uint64_t kInterrupts = 300;
    MicroGuest guest{Machine{}, "ipi", {kInterrupts}, Begin::spread};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    guest.type_line();
    // The vCPUs in turn, there and back, until the guest ends.
    unsigned ships = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto ship_next = [&] {
        const unsigned vcpu = ships / 2 % 2;
        return guest.move(vcpu, ships % 2 == 0 ? 1 - vcpu : vcpu);
    };
    while (std::chrono::steady_clock::now() < deadline && ship_next()) ++ships;
    if (guest.whereabouts(0) >= 0)
        FAIL() << "an interrupt is lost, after " << ships << " ships\n" << guest.vsmpctl({"stats"});
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
    for (unsigned vcpu : {0, 1})
        EXPECT_EQ(guest.reports(vcpu, 1), std::vector<std::uint64_t>{kInterrupts});
    EXPECT_GE(ships, 4u);
    std::cout << ships << " ships during " << 2 * kInterrupts << " interrupts\n";
}

}  // namespace
}  // namespace vsmp::e2e
